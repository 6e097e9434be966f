// What a runbook asks of the page on which it is open in JupyterLab: outputs of another run go, a
// stop is brought into view, the notebook is saved before its record is signed, and a page that is
// left while it waits for a password leaves a kernel that answers. `vmscert lab` loads it, as the
// federated extension that package.json describes; without it a runbook says all this in words.
(() => {
  const ASKED = "application/vnd.vmscert+json";
  const STOPS = ["Stop", "Unapproved"];
  const MARK = "vmscert-stopped";
  let shared;

  const cellOf = (panel, message) =>
    panel.content.widgets.findIndex(
      (cell) => cell.outputArea?.future?.msg.header.msg_id === message.parent_header.msg_id
    );

  const clearBelow = (panel, index) =>
    panel.content.widgets.slice(index + 1).forEach((cell) => cell.model.clearExecution?.());

  // A sentence at the lower end of the page, until it is clicked away or the runbook begins anew.
  const sayAtTheEnd = (panel, text) => {
    panel.node.querySelectorAll(`.${MARK}`).forEach((one) => one.remove());
    if (!text) return;
    const said = document.createElement("div");
    said.className = MARK;
    said.setAttribute("role", "alert");
    said.title = "Click to close";
    said.textContent = text;
    said.style.cssText =
      "position: absolute; bottom: 0; left: 0; right: 0; z-index: 10; padding: 10px 16px;" +
      "border-top: 3px solid #b91c1c; background: #fef2f2; color: #111; cursor: pointer;" +
      "font: 14px sans-serif;";
    said.onclick = () => said.remove();
    panel.node.appendChild(said);
  };

  const answer = (panel, message) => {
    const { msg_type } = message.header;
    if (msg_type === "error" && STOPS.includes(message.content.ename)) {
      const index = cellOf(panel, message);
      if (index < 0) return;
      clearBelow(panel, index);
      panel.content.activeCellIndex = index;
      // Again once what stands above has its height: a page with much to draw grows for a while.
      for (const pause of [0, 300, 1000, 2500]) {
        setTimeout(() => {
          const stays = !panel.isDisposed && panel.content.activeCellIndex === index;
          if (stays) panel.content.scrollToItem(index, "center");
        }, pause);
      }
      const why = message.content.evalue;
      sayAtTheEnd(panel, `Stopped in the cell in view; nothing below it was done: ${why}`);
    }
    const asked = msg_type === "update_display_data" && message.content.data[ASKED];
    if (asked?.do === "begin") {
      clearBelow(panel, cellOf(panel, message));
      sayAtTheEnd(panel, "");
    }
    if (asked?.do === "save") panel.context.save();
  };

  // A kernel that waits for a password answers nobody else: who leaves has it give up.
  const giveUp = (kernel) => {
    const { baseUrl, token } = kernel.serverSettings;
    const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
    const headers = token ? { Authorization: `token ${token}` } : {};
    if (xsrf) headers["X-XSRFToken"] = xsrf[1];
    fetch(`${baseUrl}api/kernels/${kernel.id}/interrupt`, { method: "POST", keepalive: true, headers });
  };

  const watch = (panel) => {
    let waiting = null;
    const heard = (kernel, { msg, direction }) => {
      if (msg.channel !== "stdin") return;
      waiting = direction === "recv" && msg.header.msg_type === "input_request" ? kernel : null;
    };
    const left = () => waiting && giveUp(waiting);
    const context = panel.sessionContext;
    context.iopubMessage.connect((_, message) => answer(panel, message));
    context.kernelChanged.connect((_, { newValue }) => newValue?.anyMessage.connect(heard));
    context.session?.kernel?.anyMessage.connect(heard);
    window.addEventListener("pagehide", left);
    panel.disposed.connect(() => {
      left();
      window.removeEventListener("pagehide", left);
    });
  };

  (window._JUPYTERLAB = window._JUPYTERLAB || {}).vmscert = {
    init: (scope) => {
      shared = scope;
    },
    get: async () => {
      const [notebook] = Object.values(shared["@jupyterlab/notebook"]);
      const { INotebookTracker } = (await notebook.get())();
      const activate = (_, tracker) => {
        tracker.forEach(watch);
        tracker.widgetAdded.connect((_, panel) => watch(panel));
      };
      const plugin = { id: "vmscert:runbook", autoStart: true, requires: [INotebookTracker], activate };
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
