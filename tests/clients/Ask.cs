using System;
using System.Net.Security;
using System.Net.Sockets;

// Calls servers as .NET does: a line of stdin is "port, name"; it trusts what its own store holds.
class Ask {
    static void Main() {
        for (string line; (line = Console.ReadLine()) != null;) {
            string[] job = line.Split('\t');
            try {
                using (var plain = new TcpClient("127.0.0.1", int.Parse(job[0])))
                using (var tls = new SslStream(plain.GetStream())) {
                    plain.ReceiveTimeout = 5000;
                    tls.AuthenticateAsClient(job[1]);
                }
                Console.WriteLine("accepts");
            } catch (Exception error) {
                Exception cause = error.InnerException ?? error;
                Console.WriteLine("refuses " + cause.Message.Replace('\n', ' '));
            }
        }
    }
}
