// Plays Milestone's Server Configurator of a recording server, for real_windows.py. Written in the
// C# 5 that the compiler of every Windows knows.
using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Text.RegularExpressions;

[assembly: AssemblyVersion("25.1.0.0")]
[assembly: AssemblyFileVersion("25.1.0.0")]

public static class ServerConfigurator
{
    const string Server = "84430eb7-847c-422d-aa00-7915cd0d7a65";
    const string StreamingMedia = "549df21d-047c-456b-958e-99e65dd8b3ec";
    const string Place = "ipport=0.0.0.0:9001";

    public static int Main(string[] arguments)
    {
        if (arguments.Contains("/listcertificategroups"))
        {
            Console.WriteLine("Found 'Server certificate' group with ID = " + Server);
            Console.WriteLine("Found 'Streaming media certificate' group with ID = " + StreamingMedia);
            return 0;
        }
        var on = arguments.Contains("/enableencryption");
        if (on == arguments.Contains("/disableencryption")) return -2;
        var thumbprint = on ? Value(arguments, "/thumbprint=") : "";
        if (on && !Regex.IsMatch(thumbprint, "^[0-9A-Fa-f]{40}$")) return -3;
        switch (Value(arguments, "/certificategroup="))
        {
            case Server: return Bind(thumbprint);
            case StreamingMedia: return Write(thumbprint);
            default: return -3;
        }
    }

    static string Value(string[] arguments, string name)
    {
        var found = arguments.FirstOrDefault(argument => argument.StartsWith(name));
        return found == null ? "" : found.Substring(name.Length);
    }

    // Lets Windows serve HTTPS on the port of the recording server, or no longer.
    static int Bind(string thumbprint)
    {
        Netsh("http delete sslcert " + Place);
        if (thumbprint == "") return 0;
        var owner = " appid={5cd8dd4c-2f8a-4c5e-9a6f-0d9a3c1b7e11} certstorename=MY";
        return Netsh("http add sslcert " + Place + " certhash=" + thumbprint + owner) == 0 ? 0 : -1;
    }

    static int Netsh(string arguments)
    {
        var start = new ProcessStartInfo("netsh", arguments) { UseShellExecute = false };
        using (var process = Process.Start(start))
        {
            process.WaitForExit();
            return process.ExitCode;
        }
    }

    static int Write(string thumbprint)
    {
        var data = Environment.GetEnvironmentVariable("ProgramData");
        var file = Path.Combine(data, "Milestone", "XProtect Recording Server", "RecorderConfig.xml");
        var text = File.ReadAllText(file);
        var written = "certificateHash=\"" + thumbprint + "\"";
        File.WriteAllText(file, Regex.Replace(text, "certificateHash=\"[^\"]*\"", written));
        return 0;
    }
}
