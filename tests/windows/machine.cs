// One Windows computer: what it is, its clock, and every change that is made to it.
//
// Its disk is a folder; what Windows keeps elsewhere (certificate stores, registry, access lists,
// services) is windows.json in that folder. A process is one computer at a time.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Windows;

public class Held  // a certificate in a physical store
{
    public string Der = "", FriendlyName = "";
    public string Key = "";  // the name of its key file; "" without a private key
    public bool Capi;  // an old CAPI key, in RSA\MachineKeys; else a CNG key, in Keys
}

public class Rule
{
    public string Sid = "", Type = "Allow";
    public int Rights;
    public bool Inherited;
}

public class Acl
{
    public List<Rule> Access = [], Audit = [];
}

public class Service
{
    public string Name = "", DisplayName = "", StartName = "", Sid = "", State = "Running", PathName = "";
}

public class RegisteredTask
{
    public string Name = "", Xml = "";
    public Dictionary<string, string> Parts = [];  // of one that is registered in parts, not as XML
    public int LastResult = 0x41303;  // it has not run yet [G]
}

public class Computer
{
    public string Name = "", DnsName = "", Domain = "", Caption = "", Language = "en";
    public int Build;
    public int ClockAnswers = -1;  // how often other computers tell the time yet; below 0 always
    public bool Is64Bit = true, Powershell64Bit = true;
    public string User = "", UserSid = "", ExecutionPolicy = "RemoteSigned";
    public string[] Addresses = [];
    public string[] MissingCommands = [];  // cmdlets that this Windows does not have
    public string[] UnreadableKeys = [];  // key files that even an administrator may not open
    public bool Forgets;  // what is added to a store is gone at once
    public Dictionary<string, List<Held>> Stores = [];
    public Dictionary<string, string> Accounts = new(StringComparer.OrdinalIgnoreCase);
    public Dictionary<string, Acl> Acls = [];
    public Dictionary<string, Dictionary<string, JsonElement>> Registry =
        new(StringComparer.OrdinalIgnoreCase);
    public Dictionary<string, string> Http = [];  // address:port -> thumbprint, as http.sys has it
    public List<Service> Services = [];
    public List<RegisteredTask> Tasks = [];
    public List<string> EventSources = [], Events = [];
    public XProtect Xprotect = new();
}

public class Visit  // what holds for one run of one script
{
    public string Disk = "", Host = "", Folder = "", Name = "", Caption = "", Snapshots = "";
    public DateTimeOffset At;
    public int Ahead, Build, DieAt, SnapshotAt;  // Ahead: seconds by which the clock of this computer is ahead
    public bool Elevated = true, ReadOnly;
    public string[] UnknownAccounts = [];  // SIDs whose names this Windows does not know
    public int Answer;  // what Server Configurator answers when it is to switch something
    public bool Binds = true;  // whether it has switched by then
    public bool Busy;  // another Server Configurator is running
    public bool Stopped;  // services that were stopped start no more
    public bool System;  // SYSTEM runs the script
    public bool Constrained;  // a policy leaves PowerShell a part of its language
    public int Framework;  // release of .NET Framework, if not that of the registry
    public string[] DeniedAccounts = [];  // SIDs to which an entry of every key file denies reading
}

public static class Machine
{
    public static Computer Here = new();
    public static Visit Visit = new();
    public static List<string> Changes = [];
    private static List<(DateTimeOffset At, Action Deed)> later = [];
    private static readonly JsonSerializerOptions Json = new()
    {
        IncludeFields = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        WriteIndented = true,
    };

    public static string Caption => Visit.Build != 0 ? Visit.Caption : Here.Caption;
    public static int Build => Visit.Build != 0 ? Visit.Build : Here.Build;
    public static DateTimeOffset Now { get; private set; }
    public static DateTimeOffset TrueTime => Now.AddSeconds(-Visit.Ahead);
    private static string State => Path.Combine(Visit.Disk, "windows.json");

    public static void Begin(string visit)
    {
        Visit = JsonSerializer.Deserialize<Visit>(visit, Json)!;
        Here = JsonSerializer.Deserialize<Computer>(File.ReadAllText(State), Json)!;
        Now = Visit.At.AddSeconds(Visit.Ahead);
        Changes = [];
        later = [];
        var name = Visit.Name == "" ? Here.Name : Netbios(Visit.Name);
        foreach (var (variable, value) in new[] {
            ("COMPUTERNAME", name), ("ProgramData", Inside("ProgramData")),
            ("ProgramFiles", Inside("Program Files")), ("ProgramFiles(x86)", Inside("Program Files (x86)")),
            ("SystemRoot", Inside("Windows")), ("windir", Inside("Windows")),
            ("USERNAME", Here.User.Split('\\').Last()) })
        {
            Environment.SetEnvironmentVariable(variable, value);
        }
    }

    // What was started goes on when the script has ended.
    public static void End()
    {
        PassTo(DateTimeOffset.MaxValue);
        if (Changes.Count > 0)
        {
            Keep();
        }
    }

    public static string Netbios(string name) => name.ToUpperInvariant()[..Math.Min(15, name.Length)];

    public static bool IsThere(string path, string kind) => path.Replace('\\', '/') is var there
        && (Directory.Exists(there) || (kind != "Container" && File.Exists(there)));

    public static string Inside(string path) => Path.Combine(Visit.Disk, path.Replace('\\', '/'));

    // A path of this computer without its disk, so that a copy of the disk is another computer.
    public static string Relative(string path) =>
        Path.GetRelativePath(Visit.Disk, path.Replace('\\', '/'));

    // The clock of this computer: waiting takes no time, and what is due by then happens meanwhile.
    public static void Wait(TimeSpan time) => PassTo(Now + time);

    public static void Later(TimeSpan time, Action deed) => later.Add((Now + time, deed));

    private static void PassTo(DateTimeOffset until)
    {
        while (later.Count > 0 && later.Min(one => one.At) is var at && at <= until)
        {
            var next = later.First(one => one.At == at);
            later.Remove(next);
            Now = at;
            next.Deed();
        }
        if (until < DateTimeOffset.MaxValue)
        {
            Now = until;
        }
    }

    // Every change goes through here. Before it the computer is as a power failure at this point
    // would leave it: that can be kept as a copy, or the process really ends.
    public static void Change(string what, Action deed)
    {
        Changes.Add(what);
        if (Visit.Snapshots != "" && (Visit.SnapshotAt == 0 || Changes.Count == Visit.SnapshotAt))
        {
            Keep();
            var copy = Path.Combine(Visit.Snapshots, $"{Changes.Count}", Visit.Host);
            CopyFolder(Visit.Disk, copy);
        }
        if (Changes.Count == Visit.DieAt)
        {
            Keep();
            System.Diagnostics.Process.GetCurrentProcess().Kill();
        }
        deed();
    }

    private static void Keep()
    {
        var spare = State + ".new";
        File.WriteAllText(spare, JsonSerializer.Serialize(Here, Json));
        File.Move(spare, State, true);
    }

    public static void NeedElevation()
    {
        if (!Visit.Elevated)
        {
            throw new UnauthorizedAccessException("Access is denied.");
        }
    }

    private static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
        foreach (var folder in Directory.GetDirectories(from))
        {
            CopyFolder(folder, Path.Combine(to, Path.GetFileName(folder)));
        }
    }
}

// Stands for a type of .NET that only Windows has, or that would reach beyond this computer.
[AttributeUsage(AttributeTargets.Class)]
public class StandsForAttribute(string name) : Attribute
{
    public string Name => name;
}
