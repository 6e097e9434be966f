// Calls servers as Node does: a line of stdin is "port, name, file of roots, file of lists or -".
const fs = require("fs"), tls = require("tls"), net = require("net");
const lines = fs.readFileSync(0, "utf8").trim().split("\n");
(async () => {
  for (const line of lines) {
    const [port, name, roots, lists] = line.split("\t");
    console.log(await new Promise((resolve) => {
      const socket = tls.connect({
        host: "127.0.0.1", port, ca: fs.readFileSync(roots),
        servername: net.isIP(name) ? "" : name,
        crl: lists === "-" ? undefined : fs.readFileSync(lists),
        checkServerIdentity: (_, shown) => tls.checkServerIdentity(name, shown),
      }, () => { resolve("accepts"); socket.destroy(); });
      socket.on("error", (error) => resolve("refuses " + (error.code || error)));
      socket.setTimeout(5000, () => { resolve("refuses, silent"); socket.destroy(); });
    }));
  }
})();
