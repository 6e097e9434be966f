// What XProtect does: its services, its configuration files, and Server Configurator.
// Tags as in windows.cs.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Windows
{
    public class XProtect
    {
        public string[] Components = [];  // roles: management server, recording server ...
        public string Version = "25.3";
        public bool Busy;  // another Server Configurator is running, or was left behind [C2:S31]
        public bool Administrator = true;  // whether the person is a member of XProtect's Administrators
        public bool Stuck;  // a service can not be stopped [C2:S31]
        public int Seconds = 60;  // how long it takes to switch; up to 20 minutes were seen [C2]
        public int HalfWritten;  // seconds in which a configuration file is cut short meanwhile [I]
        public string[] LeavesStopped = [];  // services that do not come back after switching [C2]
        public Dictionary<string, string> Event = [];  // what the event server uses: nobody else says
    }
}

namespace Windows.StandIns
{
    public static class ServerConfigurator
    {
        private const string Server = "84430eb7-847c-422d-aa00-7915cd0d7a65";  // [C:S20]
        private const string Media = "549df21d-047c-456b-958e-99e65dd8b3ec";
        private const string Mobile = "76cfc719-a852-4210-913e-703eadab139a";
        private const string Event = "7e02e0f5-549d-4113-b8de-bda2c1f38dbf";
        private static int running;

        private static XProtect Here => Machine.Here.Xprotect;
        public static bool IsRunning => Here.Busy || Machine.Visit.Busy || running > 0;

        // Starts with these arguments; says exit code and text when it has ended.
        public static void Run(string arguments, Action<int, string> ended)
        {
            if (IsRunning)
            {
                ended(-4, "");  // [C:S20,S21]
                return;
            }
            var listing = arguments.Contains("/listcertificategroups");
            running++;
            Machine.Later(TimeSpan.FromSeconds(listing ? 2 : Here.Seconds), () =>
            {
                running--;
                var (code, text) = listing ? (0, Listing()) : (Act(arguments), "");
                ended(code, text);
            });
        }

        public static void Forget() => running = 0;

        private static bool Registers => Here.Administrator && !Machine.Visit.System;

        // What is installed on this computer. [C:S21] The server group is everywhere: each XProtect
        // server has a Data Collector. [C]
        private static string Listing() => string.Concat(
            Groups().Select(group => $"Found '{group.Name}' group with ID = {group.Id}\r\n"));

        private static IEnumerable<(string Name, string Id)> Groups()
        {
            yield return ("Server certificate", Server);
            if (Has("recording server") || Has("failover recording server"))
            {
                yield return ("Streaming media certificate", Media);
            }
            if (Has("mobile server"))
            {
                yield return ("Mobile streaming media certificate", Mobile);
            }
            if (Has("event server"))
            {
                yield return ("Event server and add-ons", Event);
            }
        }

        private static bool Has(string role) => Here.Components.Contains(role);

        private static string Argument(string arguments, string name) =>
            Regex.Match(arguments, $@"/{name}=(\S+)").Groups[1].Value;

        // Exit codes: data/windows/exit-codes.csv, and 50 where the key can not be read [C].
        private static int Act(string arguments)
        {
            if (arguments.Contains("/register"))
            {
                return Registers ? Machine.Visit.Answer : 100;  // [C]
            }
            var on = arguments.Contains("/enableencryption");
            if (!on && !arguments.Contains("/disableencryption"))
            {
                return -2;
            }
            var group = Argument(arguments, "certificategroup");
            var thumbprint = on ? Argument(arguments, "thumbprint").ToUpperInvariant() : "";
            if (!Groups().Any(one => one.Id == group) || (on && Stores.Find("LocalMachine", "My", thumbprint) is not { HasPrivateKey: true }))
            {
                return -3;
            }
            if (Machine.Visit.Answer != 0 && !Machine.Visit.Binds)
            {
                return Machine.Visit.Answer;
            }
            if (on && !Stores.Trusts(Stores.Find("LocalMachine", "My", thumbprint)!, [], false, out _))
            {
                return -4;  // silently [C2:S31]
            }
            if (on && !KeyIsReadable(Stores.Find("LocalMachine", "My", thumbprint)!))
            {
                return 50;
            }
            var half = group == Server && Attribute(Recorder, "serverEncryption", "certificateHash") != "";
            if (!on && !half && Used(group) == "")
            {
                return 1;  // nothing to disable [C2]
            }
            if (Here.Stuck)
            {
                return 10000;  // [C2:S31]
            }
            Switch(group, thumbprint);
            return Machine.Visit.Answer != 0 ? Machine.Visit.Answer : Registers ? 0 : 100;
        }

        // Every account that runs a service of XProtect here needs to read the key. [C:S1]
        private static bool KeyIsReadable(Certificate certificate)
        {
            var path = Keys.PathOf(certificate.Held);
            if (!System.IO.File.Exists(path))
            {
                return false;
            }
            IEnumerable<string> Named(string type) => Acls.Of(path).Access.Where(one => one.Type == type).Select(one => one.Sid);
            var readers = Named("Allow").Except(Named("Deny")).ToHashSet();
            return Milestone().All(one => readers.Contains(one.Sid));
        }

        private static IEnumerable<Service> Milestone() =>
            Machine.Here.Services.Where(one => one.DisplayName.Contains("XProtect"));

        // What a group uses, in the place where each server keeps it. [C:S22,S23][C2:S31]
        public static string Used(string group) => group switch
        {
            Server => Ports().Select(port => Machine.Here.Http.GetValueOrDefault($"0.0.0.0:{port}", "")).FirstOrDefault(one => one != "", ""),
            Media => Attribute(Recorder, "webserver/encryption", "certificateHash"),
            Mobile => Machine.Here.Http.GetValueOrDefault("0.0.0.0:8082", ""),
            _ => Here.Event.GetValueOrDefault("certificate", ""),
        };

        private static IEnumerable<int> Ports()
        {
            (string Role, int[] Ports)[] served =
            [
                ("management server", [9000, 443]),  // [C:S22][C2:S31]
                ("recording server", [9001]),  // [C:S22]
                ("failover recording server", [8990]),  // [C2:S30]
                ("log server", [22337]),  // [G]
            ];
            return served.Where(one => Has(one.Role)).SelectMany(one => one.Ports);
        }

        private static string Recorder => Machine.Inside("ProgramData/Milestone/XProtect Recording Server/RecorderConfig.xml");
        private static string Endpoints => Machine.Inside("ProgramData/Milestone/XProtect Event Server/config/ServiceEndpoints.xml");

        private static void Switch(string group, string thumbprint)
        {
            Stop(group);
            if (group == Server)
            {
                foreach (var port in Ports())
                {
                    Bind(port, thumbprint);
                }
                Configure(Recorder, root => Encrypt(root.Element("serverEncryption")!, thumbprint));  // [C2]
            }
            else if (group == Media)
            {
                Configure(Recorder, root => Encrypt(root.Element("webserver")!.Element("encryption")!, thumbprint));
            }
            else if (group == Mobile)
            {
                Bind(8082, thumbprint);
            }
            else  // no thumbprint stands in its file, and Windows serves nothing for it [C2]
            {
                Configure(
                    Endpoints,
                    root => root.Element("CertificateEnabled")!.Value = thumbprint == "" ? "false" : "true",
                    () => Here.Event["certificate"] = thumbprint);
            }
        }

        private static void Bind(int port, string thumbprint)
        {
            Machine.Change($"serve {port} with {thumbprint}", () =>
            {
                Machine.Here.Http.Remove($"0.0.0.0:{port}");
                if (thumbprint != "")
                {
                    Machine.Here.Http[$"0.0.0.0:{port}"] = thumbprint;
                }
            });
        }

        private static void Encrypt(XElement element, string thumbprint)
        {
            element.SetAttributeValue("enabled", thumbprint == "" ? "false" : "true");
            element.SetAttributeValue("certificateHash", thumbprint.ToLowerInvariant());
        }

        private static string Attribute(string file, string place, string name) => System.IO.File.Exists(file)
            ? place.Split('/').Aggregate(XDocument.Load(file).Root!, (at, step) => at.Element(step)!).Attribute(name)!.Value.ToUpperInvariant()
            : "";

        // Changes a file, and at the same moment what goes with it.
        private static void Configure(string file, Action<XElement> change, Action? with = null)
        {
            if (!System.IO.File.Exists(file))
            {
                return;
            }
            var document = XDocument.Load(file);
            change(document.Root!);
            var text = document.ToString();
            void Write(string what) => Machine.Change($"write {Machine.Relative(file)}", () =>
            {
                System.IO.File.WriteAllText(file, what);
                with?.Invoke();
            });
            if (Here.HalfWritten == 0)
            {
                Write(text);
                return;
            }
            Write(text[..(text.Length / 2)]);
            Machine.Later(TimeSpan.FromSeconds(Here.HalfWritten), () => Write(text));
        }

        // Services restart; those of IIS, too, where the management server is switched. [C2]
        private static void Stop(string group)
        {
            var web = group == Server && Has("management server");
            var mine = Machine.Here.Services.Where(one => one.DisplayName.Contains("XProtect") || (web && one.Name is "W3SVC" or "WAS")).ToList();
            Machine.Change("stop services", () => mine.ForEach(one => one.State = "Stopped"));
            var back = mine.Where(one => !Machine.Visit.Stopped && !Here.LeavesStopped.Contains(one.Name)).ToList();
            Machine.Later(TimeSpan.FromSeconds(30), () => Machine.Change("start services", () => back.ForEach(one => one.State = "Running")));
        }
    }
}
