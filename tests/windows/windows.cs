// What Windows does. The tags are those of the domain reference: [C] read in a source, [C2] told by
// somebody else's code or notes, [G] general knowledge, [I] inferred, [E] seen in an experiment.
// A class has only what the scripts use: anything else fails, and is to be added with its source.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Security.AccessControl;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Security.Principal;
using System.Text;
using System.Text.Json;
using Collection = System.Security.Cryptography.X509Certificates.X509Certificate2Collection;
using RealChain = System.Security.Cryptography.X509Certificates.X509Chain;
using RealCertificate = System.Security.Cryptography.X509Certificates.X509Certificate2;

namespace Windows.StandIns;

// ---------------------------------------------------------------- certificate stores

// A certificate that Windows shows in a store.
public class Certificate(Held held, string store) :
    RealCertificate(X509CertificateLoader.LoadCertificate(Convert.FromBase64String(held.Der)))
{
    public Held Held => held;
    public string Store => store;
    // True where the store says that there is a key, also when its file is gone. [G]
    public new bool HasPrivateKey => held.Key != "";

    public new string FriendlyName
    {
        get => held.FriendlyName;
        set
        {
            Machine.NeedElevation();
            Machine.Change($"name {Thumbprint} {value}", () => held.FriendlyName = value);
        }
    }
}

public static class Stores
{
    // The physical stores behind a store, in the order in which Windows looks. The roots of the
    // computer are its own, the third-party roots, and what a policy brings [G]; a user sees the
    // computer's, too, but of certificates with keys [G].
    private static IEnumerable<string> Physical(string location, string name)
    {
        yield return $"{location}\\{name}";
        if (name == "Root" && location == "LocalMachine")
        {
            yield return "LocalMachine\\AuthRoot";
        }
        yield return $"{location}\\{name} by policy";
        if (location == "CurrentUser" && name is not ("My" or "REQUEST"))
        {
            foreach (var one in Physical("LocalMachine", name))
            {
                yield return one;
            }
        }
    }

    private static List<Held> In(string store)
    {
        var known = Machine.Here.Stores;
        var same = known.Keys.FirstOrDefault(key => key.Equals(store, StringComparison.OrdinalIgnoreCase));
        return same == null ? known[store] = [] : known[same];
    }

    public static Certificate[] Show(string location, string name) =>
        Physical(location, name)
            .SelectMany(store => In(store).Select(held => new Certificate(held, store)))
            .DistinctBy(one => one.Thumbprint).ToArray();

    public static Certificate? Find(string location, string name, string thumbprint) =>
        Show(location, name).FirstOrDefault(
            one => one.Thumbprint.Equals(thumbprint, StringComparison.OrdinalIgnoreCase));

    // The entries of the registry for a store's own certificates.
    public static string[] Own(string store) =>
        In(store).Select(held => new Certificate(held, store).Thumbprint).ToArray();

    public static void Add(string location, string name, RealCertificate certificate)
    {
        Allow(location);
        var store = $"{location}\\{name}";
        if (!Own(store).Contains(certificate.Thumbprint))
        {
            var held = new Held { Der = Convert.ToBase64String(certificate.RawData) };
            Machine.Change($"add {certificate.Thumbprint} to {store}", () =>
            {
                if (!Machine.Here.Forgets)
                {
                    In(store).Add(held);
                }
            });
        }
    }

    // It goes out of the first physical store that holds it, and a store of a policy keeps it [G]:
    // a root that lies in AuthRoot, too, is shown again.
    public static void Remove(Certificate certificate, bool withKey)
    {
        Allow(certificate.Store.Split('\\')[0]);
        if (certificate.Store.EndsWith(" by policy"))
        {
            throw new CryptographicException("Access is denied.");
        }
        if (withKey && certificate.HasPrivateKey)  // else the file of the key stays [G]
        {
            var file = Keys.PathOf(certificate.Held);
            Machine.Change($"delete key {certificate.Held.Key}", () => System.IO.File.Delete(file));
        }
        var what = $"remove {certificate.Thumbprint} from {certificate.Store}";
        Machine.Change(what, () => In(certificate.Store).Remove(certificate.Held));
    }

    // In place of the same one. [C]
    public static void Put(string store, Held held, string what) => Machine.Change(what, () =>
    {
        In(store).RemoveAll(one => one.Der == held.Der);
        In(store).Add(held);
    });

    private static void Allow(string location)
    {
        if (location == "LocalMachine" && !Machine.Visit.Elevated)
        {
            throw new CryptographicException("Access is denied.");
        }
    }

    // Whether the way up from a certificate ends at a root of the computer, and which way it is.
    // What lies in Disallowed counts for more than any other store. [I]
    public static bool Trusts(RealCertificate certificate, Collection extra, bool asUser, out Collection chain)
    {
        var location = asUser ? "CurrentUser" : "LocalMachine";
        using var real = new RealChain();
        real.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        real.ChainPolicy.DisableCertificateDownloads = true;
        real.ChainPolicy.VerificationTime = Machine.Now.UtcDateTime;
        real.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        real.ChainPolicy.CustomTrustStore.AddRange(Show(location, "Root"));
        real.ChainPolicy.ExtraStore.AddRange(Show(location, "CA"));
        real.ChainPolicy.ExtraStore.AddRange(extra);
        var trusted = real.Build(certificate);
        chain = [.. real.ChainElements.Select(one => one.Certificate)];
        var barred = Show(location, "Disallowed").Select(one => one.Thumbprint).ToHashSet();
        return trusted && !chain.Any(one => barred.Contains(one.Thumbprint));
    }
}

[StandsFor("System.Security.Cryptography.X509Certificates.X509Store")]
public class X509Store(string name, StoreLocation location)
{
    private OpenFlags? opened;

    public X509Store(StoreName name, StoreLocation location) : this(Plain(name), location) { }

    public void Open(OpenFlags flags) => opened = flags;
    public void Close() => opened = null;
    public void Dispose() => opened = null;

    public Collection Certificates => opened == null ? [] : [.. Stores.Show($"{location}", name)];

    public void Add(RealCertificate certificate)
    {
        NeedWriting();
        Stores.Add($"{location}", name, certificate);
    }

    public void Remove(RealCertificate certificate)
    {
        NeedWriting();
        if (Stores.Find($"{location}", name, certificate.Thumbprint) is { } found)  // else nothing [C]
        {
            Stores.Remove(found, false);
        }
    }

    private void NeedWriting()
    {
        if (opened is not { } flags || !flags.HasFlag(OpenFlags.ReadWrite))
        {
            throw new CryptographicException("The X509 certificate store is read-only.");
        }
    }

    private static string Plain(StoreName name) => name switch
    {
        StoreName.CertificateAuthority => "CA",
        StoreName.My or StoreName.Root or StoreName.AuthRoot or StoreName.Disallowed => $"{name}",
        _ => throw new NotSupportedException($"{name}"),
    };
}

[StandsFor("System.Security.Cryptography.X509Certificates.X509Chain")]
public class X509Chain(bool useMachineContext)
{
    public X509Chain() : this(false) { }

    public X509ChainPolicy ChainPolicy { get; } = new();
    public Element[] ChainElements { get; private set; } = [];

    public bool Build(RealCertificate certificate)
    {
        if (ChainPolicy.RevocationMode != X509RevocationMode.NoCheck)
        {
            throw new NotSupportedException("No revocation list can be asked for here.");
        }
        var trusted = Stores.Trusts(certificate, ChainPolicy.ExtraStore, !useMachineContext, out var chain);
        ChainElements = chain.Select(one => new Element(one)).ToArray();
        return trusted;
    }

    public record Element(RealCertificate Certificate);
}

// ---------------------------------------------------------------- private keys

public static class Keys
{
    public static string PathOf(Held held) =>
        Machine.Inside($"ProgramData/Microsoft/Crypto/{(held.Capi ? "RSA/MachineKeys" : "Keys")}/{held.Key}");

    public static bool Holds(string path) => Machine.Relative(path).StartsWith("ProgramData/Microsoft/Crypto/");

    // A fresh key of the machine, beside any other: SYSTEM and Administrators may read it. [G]
    public static string Keep(RSA key)
    {
        var stem = Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo()))[..32];
        var name = Enumerable.Range(0, 100).Select(n => $"{stem}_00000000-0000-0000-0000-{n:D12}")
            .First(one => !System.IO.File.Exists(PathOf(new Held { Key = one })));
        var path = PathOf(new Held { Key = name });
        Machine.Change($"key {name}", () =>
        {
            System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            System.IO.File.WriteAllText(path, key.ExportPkcs8PrivateKeyPem());
            Machine.Here.Acls[Machine.Relative(path)] = new Acl { Access =
            [
                new Rule { Sid = "S-1-5-18", Rights = (int)FileSystemRights.FullControl },
                new Rule { Sid = "S-1-5-32-544", Rights = (int)FileSystemRights.FullControl },
            ] };
        });
        return name;
    }

    public static RSA Open(Held held)
    {
        var path = PathOf(held);
        if (!System.IO.File.Exists(path))
        {
            throw new CryptographicException("Keyset does not exist");  // 0x80090016 [C:S47]
        }
        if (!Machine.Visit.Elevated || Machine.Here.UnreadableKeys.Contains(held.Key))
        {
            throw new CryptographicException("Access is denied.");
        }
        var key = RSA.Create();
        key.ImportFromPem(System.IO.File.ReadAllText(path));
        return key;
    }
}

[StandsFor("System.Security.Cryptography.X509Certificates.RSACertificateExtensions")]
public static class RSACertificateExtensions
{
    // CNG and CAPI keys come as two types, with the name of the key file in two places. [C:S22]
    public static object? GetRSAPrivateKey(RealCertificate certificate)
    {
        if (certificate is not Certificate { HasPrivateKey: true } shown)
        {
            return null;
        }
        using var key = Keys.Open(shown.Held);
        return shown.Held.Capi ? new RSACryptoServiceProvider(shown.Held.Key) : new RSACng(shown.Held.Key);
    }
}

[StandsFor("System.Security.Cryptography.RSACng")]
public class RSACng(string name)
{
    public CngKey Key { get; } = new(name);

    public record CngKey(string UniqueName);
}

[StandsFor("System.Security.Cryptography.RSACryptoServiceProvider")]
public class RSACryptoServiceProvider(string name)
{
    public Container CspKeyContainerInfo { get; } = new(name);

    public record Container(string UniqueKeyContainerName);
}

public static class Pfx
{
    private const int FirstBuildWithAes = 16299;  // Windows 10 1709 and Server 2019 [C:S54]
    private static readonly byte[] Pbes2 = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];

    // Import-PfxCertificate. Windows says of anything that it cannot open that the password is
    // wrong [C:S54]. The key is a CNG key of the machine, not exportable [C:S42].
    public static void Import(string path, string store, string password)
    {
        var bytes = System.IO.File.ReadAllBytes(path);
        if (!Machine.Visit.Elevated)
        {
            throw new UnauthorizedAccessException("Access is denied.");
        }
        if (Machine.Build < FirstBuildWithAes && bytes.AsSpan().IndexOf(Pbes2) >= 0)
        {
            throw new CryptographicException("The specified network password is not correct.");
        }
        Collection found;
        try
        {
            found = X509CertificateLoader.LoadPkcs12Collection(bytes, password, X509KeyStorageFlags.Exportable);
        }
        catch (CryptographicException)
        {
            throw new CryptographicException("The specified network password is not correct.");
        }
        foreach (var one in found.Where(one => one.HasPrivateKey))  // the leaf; ours carry no more
        {
            using var key = one.GetRSAPrivateKey()!;
            var held = new Held { Der = Convert.ToBase64String(one.RawData), Key = Keys.Keep(key) };
            Stores.Put(store, held, $"import {one.Thumbprint} into {store}");
        }
    }
}

// certreq -new and -accept, with -q -machine. [C:S43]
public static class Certreq
{
    public static string Ask(string infFile, string requestFile)
    {
        Machine.NeedElevation();
        var inf = System.IO.File.ReadAllLines(infFile);
        string Value(string name) => inf.First(line => line.StartsWith(name + " = ")).Split(" = ", 2)[1].Trim('"');
        if (Value("KeyAlgorithm") != "RSA" || Value("MachineKeySet") != "TRUE")
        {
            throw new NotSupportedException("Only RSA keys of the machine.");
        }
        using var key = RSA.Create(int.Parse(Value("KeyLength")));
        var wanted = new CertificateRequest(Value("Subject"), key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        foreach (var line in inf.Where(line => line.StartsWith("_continue_ = ")))
        {
            var (kind, name) = Pair(line.Split(" = ", 2)[1].Trim('"').TrimEnd('&'));
            if (kind == "ipaddress")
            {
                names.AddIpAddress(System.Net.IPAddress.Parse(name));
            }
            else
            {
                names.AddDnsName(name);
            }
        }
        wanted.CertificateExtensions.Add(names.Build());
        wanted.CertificateExtensions.Add(
            new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], false));
        // A certificate stands for the request among the pending ones, with the key. [G]
        using var pending = wanted.CreateSelfSigned(Machine.Now, Machine.Now.AddYears(1));
        var held = new Held { Der = Convert.ToBase64String(pending.RawData), Key = Keys.Keep(key) };
        held.FriendlyName = Value("FriendlyName");
        Stores.Put("LocalMachine\\REQUEST", held, "keep the pending request");
        var text = new string(PemEncoding.Write("NEW CERTIFICATE REQUEST", wanted.CreateSigningRequest()));
        File.WriteAllText(requestFile, text + "\r\n");
        return "CertReq: Request Created";
    }

    public static string Accept(string file)
    {
        Machine.NeedElevation();
        var certificate = X509CertificateLoader.LoadCertificateFromFile(file);
        var waiting = Stores.Show("LocalMachine", "REQUEST").FirstOrDefault(
            one => one.PublicKey.EncodedKeyValue.RawData.SequenceEqual(certificate.PublicKey.EncodedKeyValue.RawData));
        if (waiting == null)
        {
            return "Certificate Request Processor: Cannot find object or property. 0x80092004 (-2146885628 CRYPT_E_NOT_FOUND)";
        }
        if (!Stores.Trusts(certificate, [], false, out _))
        {
            return "Certificate Request Processor: A certificate chain processed, but terminated in a root certificate which is not trusted by the trust provider. 0x800b0109 (-2146762487 CERT_E_UNTRUSTEDROOT)";
        }
        var held = new Held
        {
            Der = Convert.ToBase64String(certificate.RawData), Key = waiting.Held.Key,
            FriendlyName = waiting.Held.FriendlyName,
        };
        Stores.Put("LocalMachine\\My", held, $"accept {certificate.Thumbprint}");
        Stores.Remove(waiting, false);
        return "";
    }

    private static (string, string) Pair(string text) => (text.Split('=')[0], text.Split('=')[1]);
}

// ---------------------------------------------------------------- who may do what

[StandsFor("System.Security.Principal.WindowsIdentity")]
public class WindowsIdentity
{
    public string Name => Machine.Here.User;
    public SecurityIdentifier User => new(Machine.Visit.System ? "S-1-5-18" : Machine.Here.UserSid);
    public bool IsSystem => User.Value == "S-1-5-18";

    public static WindowsIdentity GetCurrent() => new();
}

[StandsFor("System.Security.Principal.WindowsPrincipal")]
public class WindowsPrincipal(WindowsIdentity identity)
{
    public WindowsIdentity Identity => identity;

    public bool IsInRole(WindowsBuiltInRole role) =>
        role == WindowsBuiltInRole.Administrator ? Machine.Visit.Elevated : throw new NotSupportedException($"{role}");
}

[StandsFor("System.Security.Principal.IdentityNotMappedException")]
public class IdentityNotMappedException() :
    SystemException("Some or all identity references could not be translated.");

[StandsFor("System.Security.Principal.NTAccount")]
public class NTAccount(string name)
{
    public string Value => name;

    // A Windows knows its own accounts by the names of its own language, and by no other. [G]
    public object Translate(Type type)
    {
        if (type != typeof(SecurityIdentifier))
        {
            return this;
        }
        if (!Machine.Here.Accounts.TryGetValue(name, out var sid) || Machine.Visit.UnknownAccounts.Contains(sid))
        {
            throw new IdentityNotMappedException();
        }
        return new SecurityIdentifier(sid);
    }

    public override string ToString() => name;
}

[StandsFor("System.Security.Principal.SecurityIdentifier")]
public class SecurityIdentifier
{
    public SecurityIdentifier(string sddlForm)
    {
        if (!System.Text.RegularExpressions.Regex.IsMatch(sddlForm, @"^S-1-\d+(-\d+)+$"))
        {
            throw new ArgumentException("Value was invalid.", nameof(sddlForm));
        }
        Value = sddlForm;
    }

    public string Value { get; }

    public object Translate(Type type)
    {
        if (type != typeof(NTAccount))
        {
            return this;
        }
        var known = Machine.Here.Accounts.FirstOrDefault(one => one.Value == Value).Key;
        return known == null ? throw new IdentityNotMappedException() : new NTAccount(known);
    }

    public override string ToString() => Value;
    public override bool Equals(object? other) => other is SecurityIdentifier sid && sid.Value == Value;
    public override int GetHashCode() => Value.GetHashCode();
}

[StandsFor("System.Security.AccessControl.FileSystemAccessRule")]
public class FileSystemAccessRule
{
    public FileSystemAccessRule(object identity, FileSystemRights rights, AccessControlType type)
    {
        IdentityReference = identity is string name ? new NTAccount(name) : identity;
        // .NET lets whoever is allowed something wait for the file, too. [C]
        FileSystemRights = type == AccessControlType.Allow ? rights | FileSystemRights.Synchronize : rights;
        AccessControlType = type;
    }

    public FileSystemAccessRule(
        object identity, FileSystemRights rights, InheritanceFlags inheritance,
        PropagationFlags propagation, AccessControlType type) : this(identity, rights, type) { }

    public dynamic IdentityReference { get; }
    public FileSystemRights FileSystemRights { get; }
    public AccessControlType AccessControlType { get; }
    public bool IsInherited { get; init; }

    public Rule Kept => new()
    {
        Sid = ((SecurityIdentifier)IdentityReference.Translate(typeof(SecurityIdentifier))).Value,
        Rights = (int)FileSystemRights, Type = $"{AccessControlType}",
    };
}

// The descriptor of a file or folder, with those sections that were read.
[StandsFor("System.Security.AccessControl.FileSystemSecurity")]
public abstract class FileSystemSecurity
{
    protected readonly List<Rule> access = [], audit = [];

    protected FileSystemSecurity() { }

    protected FileSystemSecurity(string path, AccessControlSections sections)
    {
        var acl = Acls.Of(path);
        access = acl.Access.Select(Copied).ToList();
        audit = sections.HasFlag(AccessControlSections.Audit) ? acl.Audit.Select(Copied).ToList() : [];
    }

    public object[] GetAccessRules(bool own, bool inherited, Type type) =>
        access.Where(one => one.Inherited ? inherited : own).Select(one => (object)new FileSystemAccessRule(
            new SecurityIdentifier(one.Sid).Translate(type), (FileSystemRights)one.Rights,
            Enum.Parse<AccessControlType>(one.Type)) { IsInherited = one.Inherited }).ToArray();

    public object[] Access => GetAccessRules(true, true, typeof(SecurityIdentifier));

    // Rights of one account become one entry. [C]
    public void AddAccessRule(FileSystemAccessRule rule)
    {
        var added = rule.Kept;
        if (Same(added) is { } mine)
        {
            mine.Rights |= added.Rights;
        }
        else
        {
            access.Add(added);
        }
    }

    // Rights that an account has beyond the rule stay; the right to wait goes with the last one. [C]
    public bool RemoveAccessRule(FileSystemAccessRule rule)
    {
        var removed = rule.Kept;
        if (Same(removed) is { } mine)
        {
            var synchronize = (int)FileSystemRights.Synchronize;
            mine.Rights &= ~(removed.Rights & ~synchronize);
            if ((mine.Rights & ~synchronize) == 0)
            {
                access.Remove(mine);
            }
        }
        return true;
    }

    public void SetAccessRuleProtection(bool isProtected, bool preserveInheritance) =>
        access.RemoveAll(one => isProtected && one.Inherited && !preserveInheritance);

    public void SetOwner(object identity) { }

    // Of a descriptor in SDDL only what gives everything to well-known accounts. [C]
    public void SetSecurityDescriptorSddlForm(string sddl)
    {
        access.Clear();
        foreach (System.Text.RegularExpressions.Match one in System.Text.RegularExpressions.Regex.Matches(sddl, @"\(A;OICI;FA;;;(SY|BA)\)"))
        {
            var sid = one.Groups[1].Value == "SY" ? "S-1-5-18" : "S-1-5-32-544";
            access.Add(new Rule { Sid = sid, Rights = (int)FileSystemRights.FullControl });
        }
    }

    public Acl Written(Acl before, bool everySection) => new()
    {
        Access = access.Select(Copied).ToList(),
        Audit = everySection ? audit.Select(Copied).ToList() : before.Audit,
    };

    private Rule? Same(Rule rule) =>
        access.FirstOrDefault(one => one.Sid == rule.Sid && one.Type == rule.Type && !one.Inherited);

    private static Rule Copied(Rule one) =>
        new() { Sid = one.Sid, Type = one.Type, Rights = one.Rights, Inherited = one.Inherited };
}

[StandsFor("System.Security.AccessControl.FileSecurity")]
public class FileSecurity : FileSystemSecurity
{
    public FileSecurity() { }
    public FileSecurity(string path, AccessControlSections sections) : base(path, sections) { }
}

[StandsFor("System.Security.AccessControl.DirectorySecurity")]
public class DirectorySecurity : FileSystemSecurity
{
    public DirectorySecurity() { }
    public DirectorySecurity(string path, AccessControlSections sections) : base(path, sections) { }
}

public static class Acls
{
    private static IEnumerable<Rule> Denied => Machine.Visit.DeniedAccounts.Select(
        sid => new Rule { Sid = sid, Type = "Deny", Rights = (int)FileSystemRights.Read, Inherited = true });

    // What nobody set is as the folder above hands it down: SYSTEM and Administrators may do
    // everything, Users may read. [G]
    public static Acl Of(string path)
    {
        if (!System.IO.File.Exists(path) && !Directory.Exists(path))
        {
            throw new FileNotFoundException($"Could not find file '{path}'.", path);
        }
        var known = Machine.Here.Acls.GetValueOrDefault(Machine.Relative(path));
        if (known != null && Keys.Holds(path))
        {
            return new Acl { Access = [.. Denied, .. known.Access], Audit = known.Audit };
        }
        return known ?? new Acl { Access =
        [
            new Rule { Sid = "S-1-5-18", Rights = (int)FileSystemRights.FullControl, Inherited = true },
            new Rule { Sid = "S-1-5-32-544", Rights = (int)FileSystemRights.FullControl, Inherited = true },
            new Rule { Sid = "S-1-5-32-545", Rights = (int)FileSystemRights.ReadAndExecute, Inherited = true },
        ] };
    }

    // Set-Acl writes every section of the descriptor: audit rules that were not read are gone [G].
    // .NET's SetAccessControl writes only those that changed [C].
    public static void Set(string path, FileSystemSecurity security, bool everySection)
    {
        Machine.NeedElevation();
        var acl = security.Written(Of(path), everySection);
        acl.Access.RemoveAll(one => one.Inherited && one.Type == "Deny");
        Machine.Change($"access to {Machine.Relative(path)}", () => Machine.Here.Acls[Machine.Relative(path)] = acl);
    }
}

[StandsFor("System.IO.FileSystemAclExtensions")]
public static class FileSystemAclExtensions
{
    public static FileSecurity GetAccessControl(FileInfo file, AccessControlSections sections) => new(file.FullName, sections);
    public static void SetAccessControl(FileInfo file, FileSecurity security) => Acls.Set(file.FullName, security, false);
    public static void SetAccessControl(DirectoryInfo folder, DirectorySecurity security) => Acls.Set(folder.FullName, security, false);
}

// ---------------------------------------------------------------- files

// Files are real; the stand-in counts the writes, and lets a power failure come in their middle.
[StandsFor("System.IO.File")]
public static class File
{
    public static bool Exists(string path) => System.IO.File.Exists(path);
    public static string ReadAllText(string path) => System.IO.File.ReadAllText(path);
    public static string ReadAllText(string path, Encoding encoding) => System.IO.File.ReadAllText(path, encoding);
    public static string[] ReadAllLines(string path) => System.IO.File.ReadAllLines(path);
    public static byte[] ReadAllBytes(string path) => System.IO.File.ReadAllBytes(path);
    public static System.DateTime GetLastWriteTime(string path) => System.IO.File.GetLastWriteTime(path);

    public static void WriteAllText(string path, string text) => WriteAllText(path, text, new UTF8Encoding(false));

    public static void WriteAllText(string path, string text, Encoding encoding)
    {
        NeedWriting(path);
        var what = Machine.Relative(path);
        Machine.Change($"empty {what}", () => System.IO.File.WriteAllText(path, ""));
        Machine.Change($"half of {what}", () => System.IO.File.WriteAllText(path, text[..(text.Length / 2)], encoding));
        Machine.Change($"write {what}", () => System.IO.File.WriteAllText(path, text, encoding));
    }

    public static void AppendAllText(string path, string text)
    {
        NeedWriting(path);
        var what = Machine.Relative(path);
        if (text.Length > 1)
        {
            Machine.Change($"half of a line of {what}", () => System.IO.File.AppendAllText(path, text[..(text.Length / 2)]));
        }
        Machine.Change($"append to {what}", () => System.IO.File.AppendAllText(path, text[(text.Length > 1 ? text.Length / 2 : 0)..]));
    }

    public static void WriteAllBytes(string path, byte[] bytes)
    {
        NeedWriting(path);
        var what = Machine.Relative(path);
        Machine.Change($"half of {what}", () => System.IO.File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]));
        Machine.Change($"write {what}", () => System.IO.File.WriteAllBytes(path, bytes));
    }

    public static void Delete(string path)
    {
        if (System.IO.File.Exists(path))
        {
            NeedWriting(path);
            Machine.Change($"delete {Machine.Relative(path)}", () => System.IO.File.Delete(path));
        }
    }

    // .NET Framework has no Move that replaces a file. [C]
    public static void Move(string from, string to)
    {
        NeedWriting(to);
        Machine.Change($"move {Machine.Relative(from)} to {Machine.Relative(to)}", () => System.IO.File.Move(from, to));
    }

    public static void Replace(string from, string to, string? backup)
    {
        NeedWriting(to);
        Machine.Change($"replace {Machine.Relative(to)}", () => System.IO.File.Replace(from, to, backup));
    }

    public static void Copy(string from, string to, bool overwrite)
    {
        NeedWriting(to);
        Machine.Change($"copy {Machine.Relative(from)} to {Machine.Relative(to)}", () => System.IO.File.Copy(from, to, overwrite));
    }

    public static FileSecurity GetAccessControl(string path, AccessControlSections sections) => new(path, sections);
    public static void SetAccessControl(string path, FileSecurity security) => Acls.Set(path, security, false);

    private static void NeedWriting(string path)
    {
        if (Machine.Visit.ReadOnly && path.StartsWith(Machine.Visit.Folder))
        {
            throw new UnauthorizedAccessException($"Access to the path '{path}' is denied.");
        }
    }
}

[StandsFor("System.IO.Directory")]
public static class Directory
{
    public static bool Exists(string path) => System.IO.Directory.Exists(path);
    public static string[] GetFiles(string path) => System.IO.Directory.GetFiles(path);
    public static string[] GetDirectories(string path) => System.IO.Directory.GetDirectories(path);
    public static string[] GetFileSystemEntries(string path) => System.IO.Directory.GetFileSystemEntries(path);
    public static void Delete(string path) => Machine.Change($"delete {Machine.Relative(path)}", () => System.IO.Directory.Delete(path));

    public static DirectoryInfo CreateDirectory(string path)
    {
        if (!Exists(path))
        {
            Machine.Change($"folder {Machine.Relative(path)}", () => System.IO.Directory.CreateDirectory(path));
        }
        return new DirectoryInfo(path);
    }

    // .NET Framework makes a folder with its access at once. [C]
    public static DirectoryInfo CreateDirectory(string path, DirectorySecurity security)
    {
        if (!Exists(path))
        {
            Machine.Change($"folder {Machine.Relative(path)} with its access", () =>
            {
                System.IO.Directory.CreateDirectory(path);
                Machine.Here.Acls[Machine.Relative(path)] = security.Written(new Acl(), true);
            });
        }
        return new DirectoryInfo(path);
    }
}

// ---------------------------------------------------------------- the rest of the computer

[StandsFor("System.Environment")]
public static class Environment
{
    public static OperatingSystem OSVersion => new(PlatformID.Win32NT, new Version(10, 0, Machine.Build, 0));
    public static bool Is64BitOperatingSystem => Machine.Here.Is64Bit;
    public static bool Is64BitProcess => Machine.Here.Powershell64Bit;
    public static string NewLine => "\r\n";
    public static string MachineName => System.Environment.GetEnvironmentVariable("COMPUTERNAME")!;
    public static string UserName => Machine.Here.User.Split('\\').Last();
    public static string UserDomainName => Machine.Here.User.Split('\\').First();
}

[StandsFor("System.Net.Dns")]
public static class Dns
{
    public static string GetHostName() => Machine.Visit.Name == "" ? Machine.Here.DnsName : Machine.Visit.Name;
}

[StandsFor("System.Net.NetworkInformation.IPGlobalProperties")]
public class IPGlobalProperties
{
    public static IPGlobalProperties GetIPGlobalProperties() => new();
    public string HostName => Dns.GetHostName();
    public string DomainName => Machine.Here.Domain;
}

// Every other computer has a web server that tells the right time. [G]
[StandsFor("System.Net.Sockets.TcpClient")]
public class TcpClient
{
    public System.Threading.Tasks.Task ConnectAsync(string host, int port) => Machine.Here.ClockAnswers-- == 0
        ? throw new SocketException((int)SocketError.ConnectionRefused)
        : System.Threading.Tasks.Task.CompletedTask;

    public void Dispose() { }

    public Stream GetStream() => new Answer(Encoding.ASCII.GetBytes(
        $"HTTP/1.1 200 OK\r\nDate: {Machine.TrueTime.UtcDateTime:r}\r\nConnection: close\r\n\r\n"));

    private class Answer(byte[] bytes) : MemoryStream(bytes)
    {
        public override int ReadTimeout { get; set; }
        public override void Write(byte[] buffer, int offset, int count) { }
    }
}

[StandsFor("System.DateTime")]
public static class DateTime
{
    public static System.DateTime UtcNow => Machine.Now.UtcDateTime;
    public static System.DateTime Now => Machine.Now.LocalDateTime;
    public static System.DateTime Parse(string text, IFormatProvider culture) => System.DateTime.Parse(text, culture);
}

[StandsFor("System.DateTimeOffset")]
public static class DateTimeOffset
{
    public static System.DateTimeOffset UtcNow => Machine.Now.ToUniversalTime();
    public static System.DateTimeOffset Parse(string text, IFormatProvider culture) => System.DateTimeOffset.Parse(text, culture);

    public static System.DateTimeOffset ParseExact(string text, string format, IFormatProvider culture) =>
        System.DateTimeOffset.ParseExact(text, format, culture);
}

[StandsFor("System.Threading.Thread")]
public static class Thread
{
    public static System.Threading.Thread CurrentThread => System.Threading.Thread.CurrentThread;
    public static void Sleep(int milliseconds) => Machine.Wait(TimeSpan.FromMilliseconds(milliseconds));
}

[StandsFor("Microsoft.Win32.Registry")]
public static class Registry
{
    // Null without the key, the default without the value. [C]
    public static object? GetValue(string keyName, string valueName, object? defaultValue)
    {
        if (!Machine.Here.Registry.TryGetValue(keyName, out var key))
        {
            return null;
        }
        if (valueName == "Release" && Machine.Visit.Framework != 0)
        {
            return Machine.Visit.Framework;
        }
        var same = key.Keys.FirstOrDefault(one => one.Equals(valueName, StringComparison.OrdinalIgnoreCase));
        return same == null ? defaultValue : Plain(key[same]);
    }

    public static bool HasKey(string path) =>
        Machine.Here.Registry.Keys.Any(key => (key + "\\").StartsWith(Long(path) + "\\", StringComparison.OrdinalIgnoreCase))
        || Owner(path) != null || IsHeld(path) || IsSource(path);

    public static string[] SubKeys(string path)
    {
        if (Owner(path) is { } store)
        {
            return Stores.Own(store);
        }
        var above = Long(path) + "\\";
        return Machine.Here.Registry.Keys.Where(key => key.StartsWith(above, StringComparison.OrdinalIgnoreCase))
            .Select(key => key[above.Length..].Split('\\')[0]).Distinct().ToArray();
    }

    public static Dictionary<string, object?> Values(string path) =>
        Machine.Here.Registry.TryGetValue(Long(path), out var key) ? key.ToDictionary(one => one.Key, one => Plain(one.Value)) : [];

    // The store whose own certificates this key holds. [G]
    private static string? Owner(string path)
    {
        var found = System.Text.RegularExpressions.Regex.Match(path,
            @"^HK(LM|CU):\\SOFTWARE\\Microsoft\\SystemCertificates\\(\w+)\\Certificates$",
            System.Text.RegularExpressions.RegexOptions.IgnoreCase);
        return found.Success ? $"{(found.Groups[1].Value == "LM" ? "LocalMachine" : "CurrentUser")}\\{found.Groups[2].Value}" : null;
    }

    // A key for each certificate that a policy brings. [G]
    private static bool IsHeld(string path)
    {
        var found = System.Text.RegularExpressions.Regex.Match(path,
            @"^Registry::HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\SystemCertificates\\(\w+)\\Certificates\\(\w+)$");
        return found.Success && Stores.Own($"LocalMachine\\{found.Groups[1].Value} by policy").Contains(found.Groups[2].Value);
    }

    // A key for each source of events. [C]
    private static bool IsSource(string path)
    {
        const string Sources = @"Registry::HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\EventLog\Application\";
        return path.StartsWith(Sources) && EventLog.SourceExists(path[Sources.Length..]);
    }

    private static string Long(string path) =>
        path.TrimEnd('\\').Replace("HKLM:", "HKEY_LOCAL_MACHINE").Replace("HKCU:", "HKEY_CURRENT_USER");

    // A text may name the disk of this computer; a list of numbers is a binary value.
    private static object? Plain(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Number => value.GetInt32(),
        JsonValueKind.Array => value.EnumerateArray().Select(one => one.GetByte()).ToArray(),
        _ => value.GetString()!.Replace("<disk>", Machine.Visit.Disk),
    };
}

[StandsFor("System.Diagnostics.EventLog")]
public static class EventLog
{
    public static bool SourceExists(string source) => Machine.Here.EventSources.Contains(source);

    public static void CreateEventSource(string source, string log)
    {
        Machine.NeedElevation();
        Machine.Change($"event source {source}", () => Machine.Here.EventSources.Add(source));
    }

    public static void DeleteEventSource(string source)
    {
        Machine.NeedElevation();
        Machine.Change($"no event source {source}", () => Machine.Here.EventSources.Remove(source));
    }

    public static void WriteEntry(string source, string text, object type, int id) =>
        Machine.Change($"event {id}", () => Machine.Here.Events.Add($"{source} {type} {id}: {text}"));
}

// Programs run along the clock of this computer. Exit codes have 32 bits. [C]
[StandsFor("System.Diagnostics.Process")]
public class Process
{
    private readonly System.Threading.Tasks.TaskCompletionSource<string> output = new();
    private int code;

    public bool HasExited => output.Task.IsCompleted;
    public int ExitCode => HasExited ? code : throw new InvalidOperationException("Process must exit before requested information can be determined.");
    public Reader StandardOutput => new(output.Task);
    public string ProcessName { get; private init; } = "ServerConfigurator";
    public int Id => 4711;

    public static Process Start(System.Diagnostics.ProcessStartInfo start)
    {
        if (!start.FileName.EndsWith("ServerConfigurator.exe") || !System.IO.File.Exists(start.FileName))
        {
            throw new System.ComponentModel.Win32Exception("The system cannot find the file specified");
        }
        var process = new Process();
        ServerConfigurator.Run(start.Arguments, (code, text) =>
        {
            process.code = code;
            process.output.SetResult(text);
        });
        return process;
    }

    public static Process[] GetProcessesByName(string name) =>
        name == "ServerConfigurator" && ServerConfigurator.IsRunning ? [new Process()] : [];

    public void WaitForExit()
    {
        while (!HasExited)
        {
            Machine.Wait(TimeSpan.FromSeconds(1));
        }
    }

    public bool WaitForExit(int milliseconds)
    {
        var until = Machine.Now.AddMilliseconds(milliseconds);
        while (!HasExited && Machine.Now < until)
        {
            Machine.Wait(TimeSpan.FromSeconds(1));
        }
        return HasExited;
    }

    public void Kill() => throw new NotSupportedException("Nobody kills Server Configurator here.");

    public record Reader(System.Threading.Tasks.Task<string> Text)
    {
        public System.Threading.Tasks.Task<string> ReadToEndAsync() => Text;
    }
}

// netsh http show sslcert: the labels are in the language of Windows. [G for each language]
public static class Netsh
{
    private static readonly Dictionary<string, (string Title, string Place, string Host, string Hash, string Program, string Store)> Labels = new()
    {
        ["en"] = ("SSL Certificate bindings:", "IP:port", "Hostname:port", "Certificate Hash", "Application ID", "Certificate Store Name"),
        ["fr"] = ("Liaisons de certificat SSL :", "IP:port", "Nom d’hôte:port", "Hachage du certificat", "ID de l’application", "Nom du magasin de certificats"),
        ["de"] = ("SSL-Zertifikatbindungen:", "IP:Port", "Hostname:Port", "Zertifikathash", "Anwendungs-ID", "Zertifikatspeichername"),
        ["da"] = ("SSL-certifikatbindinger:", "IP:port", "Værtsnavn:port", "Certifikat-hash", "Program-id", "Navn på certifikatlager"),
    };

    public static string[] Show()
    {
        var said = Labels.GetValueOrDefault(Machine.Here.Language, Labels["en"]);
        var lines = new List<string> { "", said.Title, new('-', said.Title.Length), "" };
        foreach (var (place, thumbprint) in Machine.Here.Http)
        {
            var address = place[..place.LastIndexOf(':')].Trim('[', ']');
            var label = System.Net.IPAddress.TryParse(address, out _) ? said.Place : said.Host;
            lines.Add($"    {label,-29}: {place}");
            lines.Add($"    {said.Hash,-29}: {thumbprint.ToLowerInvariant()}");
            lines.Add($"    {said.Program,-29}: {{4dc3e181-e14b-4a21-b022-59fc669b0914}}");
            lines.Add($"    {said.Store,-29}: MY");
            lines.Add("");
        }
        return [.. lines];
    }
}
