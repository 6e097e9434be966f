<#
.SYNOPSIS
    Puts this computer back to how it was before install.ps1 changed it.
.DESCRIPTION
    Reads before.json, in which install.ps1 noted how each thing was, and restores only what it
    changed: first the CAs that it took away, then encryption, the certificate, and the CA that it
    brought. README.html says in which order several computers are undone. It ends with an
    inventory: bring it back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File undo.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$ComputerName = 'vms-rec-01'
$Files = @('ca.cer', 'inventory.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', 'CAD029C566F26DDFC8AA3273195BC7D524BB9B850F48EB5176809A210F4B425C')
$NotBefore = '2026-03-01T09:00:00+00:00'
$NamePrefix = 'VMS vms-rec-01.example.local until '
$UndoGroups = @('server', 'streaming media')
$UndoGroupIds = @('84430eb7-847c-422d-aa00-7915cd0d7a65', '549df21d-047c-456b-958e-99e65dd8b3ec')
$Thumbprint = '3ED70FB4C4312B542736CE47F1FB61E13F82318A'
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
# inputs: end

$Phases = @('Check', 'Undo')

# One line of the log, which the inventory brings back. Nothing fails for want of it.
function Add-LogLine {
    param([string]$Step, [string]$Result, [string]$Detail)
    if ($WhatIfPreference) {
        return
    }
    $Line = [ordered]@{
        at = [System.DateTime]::UtcNow.ToString('s') + 'Z'
        step = $Step
        result = $Result
        detail = $Detail
    }
    $Text = (ConvertTo-Json -InputObject $Line -Compress) + [System.Environment]::NewLine
    try {
        [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), $Text)
    }
    catch {
        Write-Warning ('log.jsonl could not be written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}

# Runs one step if this phase has it, and says how it ended. A step that fails ends the script; what
# it had done by then is told, too.
function Invoke-Step {
    param([string]$In, [string]$Name, [scriptblock]$Deed, [string]$Remedy)
    if ($Phases -notcontains $In) {
        return
    }
    $Said = [System.Collections.ArrayList]::new()
    try {
        & $Deed | ForEach-Object -Process { $null = $Said.Add($_) }
    }
    catch {
        $Detail = @($Said) + @($_.Exception.GetBaseException().Message) -join '; '
        Add-LogLine -Step $Name -Result 'failed' -Detail $Detail
        throw ('Step {0}: {1} What to do: {2}' -f $Name, $Detail, $Remedy)
    }
    $Detail = @($Said) -join '; '
    Add-LogLine -Step $Name -Result 'done' -Detail $Detail
    Write-Output ('{0}: {1}' -f $Name, $Detail)
}

# Ends a visit with the inventory, whatever came before.
function Invoke-Inventory {
    if ($WhatIfPreference) {
        return
    }
    try {
        & (Join-Path -Path $PSScriptRoot -ChildPath 'inventory.ps1')
    }
    catch {
        Write-Warning ('No inventory was written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}

function Step-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Administrator rights are missing.'
    }
    if ([System.Environment]::Is64BitOperatingSystem -and -not [System.Environment]::Is64BitProcess) {
        throw 'This is the 32-bit PowerShell, which does not see all of this computer.'
    }
    'PowerShell runs as administrator'
}

function Step-WritableFolder {
    if ($WhatIfPreference) {
        return 'it is not tried whether this folder can be written to'
    }
    [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), '')
    'this folder can be written to'
}

function Step-RightComputer {
    $Names = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
    if ($Names -notcontains $ComputerName.Split('.')[0]) {
        throw ('This folder is for {0}, but this computer is {1}.' -f $ComputerName, $env:COMPUTERNAME)
    }
    'this computer is {0}' -f $ComputerName
}

function Step-CarriedFile {
    foreach ($File in $Files) {
        $Path = Join-Path -Path $PSScriptRoot -ChildPath $File
        if (-not (Test-Path -LiteralPath $Path)) {
            throw ('{0} is missing beside this script.' -f $File)
        }
        if ((Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash -ne $Hashes[[array]::IndexOf($Files, $File)]) {
            throw ('{0} has changed since it was made: its SHA-256 is another one.' -f $File)
        }
    }
    '{0} files are as they were made' -f $Files.Count
}

function Step-NewestCertificate {
    $Mine = [System.DateTimeOffset]::Parse($NotBefore, [System.Globalization.CultureInfo]::InvariantCulture).UtcDateTime
    foreach ($Certificate in @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My')) {
        if ($Certificate.FriendlyName.StartsWith($NamePrefix) -and $Certificate.NotBefore.ToUniversalTime() -gt $Mine) {
            throw ('A newer certificate is here already: {0}, {1}.' -f $Certificate.FriendlyName, $Certificate.Thumbprint)
        }
    }
    'no newer certificate is here'
}

# What install.ps1 noted before it changed something: what -> how it was.
function Get-Before {
    $Noted = @{}
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    if (Test-Path -LiteralPath $Path) {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = [string]$Property.Value
        }
    }
    $Noted
}

# Forgets how something was, once it is so again.
function Remove-Before {
    param([string]$What)
    $Noted = Get-Before
    $Noted.Remove($What)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
}

# Notes how something was, once: a second run must not take its own change for the old state.
function Add-Before {
    param([string]$What, [string]$Was)
    $Noted = Get-Before
    if (-not $Noted.ContainsKey($What)) {
        $Noted[$What] = $Was
        $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
        [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
    }
}

# Whether LocalMachine\My holds a certificate with its private key.
function Test-Held {
    param([string]$Label)
    $InStore = 'Cert:\LocalMachine\My\{0}' -f $Label
    (Test-Path -LiteralPath $InStore) -and (Get-Item -LiteralPath $InStore).HasPrivateKey
}

# The certificates that Windows itself serves HTTPS with: address and port -> thumbprint. Both are
# found by their form, because the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = [ordered]@{}
    $Place = ''
    foreach ($Line in @(netsh http show sslcert)) {
        if ($Line -match '\s(\S+:\d{1,5})\s*$') {
            $Place = $Matches[1]
        }
        elseif ($Place -and $Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Place] = $Matches[0].ToUpperInvariant()
        }
    }
    $Thumbprints
}

# The thumbprint served on a port: at this address if it is bound there, else at any.
function Get-PortCertificate {
    param($Https, [string]$Port, [string]$Address = '0.0.0.0')
    $Wanted = '{0}:{1}' -f $Address, $Port
    if ($Https.Contains($Wanted)) {
        return $Https[$Wanted]
    }
    foreach ($Place in $Https.Keys) {
        if ($Place.EndsWith((':{0}' -f $Port))) {
            return $Https[$Place]
        }
    }
}

# A value in the registry of this computer, or nothing.
function Get-RegistryValue {
    param([string]$Key, [string]$Name)
    [Microsoft.Win32.Registry]::GetValue(('HKEY_LOCAL_MACHINE\SOFTWARE\{0}' -f $Key), $Name, $null)
}

# What an XProtect server wrote into its configuration file, or what it uses without one.
function Get-Setting {
    param([string]$Path, [string]$XPath, [string]$Default = '')
    if ($Path -and (Test-Path -LiteralPath $Path)) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            return $Found.Node.InnerText
        }
    }
    $Default
}

# The configuration files of the XProtect servers. That of the mobile server lies beside its
# program, which the registry names, or names the folder of.
function Get-ConfigurationFile {
    $Mobile = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Mobile Server' -Name 'INSTALLATIONFOLDER')
    if ($Mobile -and -not $Mobile.EndsWith('.exe')) {
        $Mobile = Join-Path -Path $Mobile -ChildPath 'VideoOS.MobileServer.Service.exe'
    }
    if ($Mobile) {
        $Mobile = '{0}.config' -f $Mobile
    }
    @{
        Management = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Management Server\ServerConfig.xml'
        Recording = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Recording Server\RecorderConfig.xml'
        Event = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Event Server\config\ServiceEndpoints.xml'
        Mobile = $Mobile
    }
}

# The certificate of the mobile server: its configuration says address and port.
function Get-MobileCertificate {
    param($Https, [string]$File)
    $Place = '/configuration/HttpSecureMetaChannel/Address/add[@key="{0}"]/@value'
    $Port = Get-Setting -Path $File -XPath ($Place -f 'Port') -Default '8082'
    $Address = Get-Setting -Path $File -XPath ($Place -f 'Ip') -Default '+'
    Get-PortCertificate -Https $Https -Port $Port -Address $Address.Replace('+', '0.0.0.0')
}

# The certificate of the group server: each of its services has a port. Where they differ, nobody can
# say which one the group uses.
function Get-ServerCertificate {
    param($Https, $Files)
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port' -Default '9000'
    $Used = ''
    foreach ($Port in @($Recording, $Management, '8990', '22337')) {
        $Found = Get-PortCertificate -Https $Https -Port $Port
        if ($Used -and $Found -and $Found -ne $Used) {
            return 'unknown'
        }
        if ($Found) {
            $Used = $Found
        }
    }
    $Used
}

# The certificate of the event server. Its configuration says whether it encrypts; with which one it
# says only where it names a thumbprint, or where Windows serves its port.
function Get-EventCertificate {
    param($Https, [string]$File)
    $Enabled = Get-Setting -Path $File -XPath '//*[local-name()="CertificateEnabled"]'
    if ($Enabled.Trim() -ne 'true') {
        return ''
    }
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Found) {
        return $Found
    }
    if ([System.IO.File]::ReadAllText($File) -match '\b[0-9A-Fa-f]{40}\b') {
        return $Matches[0].ToUpperInvariant()
    }
    'unknown'
}

# The certificates that the XProtect services really use: certificate group -> thumbprint, or
# 'unknown' where a service encrypts and does not say with which one.
function Get-CertificateInUse {
    $Https = Get-HttpCertificate
    $Files = Get-ConfigurationFile
    $Media = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webserver/encryption/@certificateHash'
    $Found = @{
        'server' = Get-ServerCertificate -Https $Https -Files $Files
        'streaming media' = ($Media -replace '[^0-9A-Fa-f]', '').ToUpperInvariant()
        'mobile streaming media' = Get-MobileCertificate -Https $Https -File $Files.Mobile
        'event server' = Get-EventCertificate -Https $Https -File $Files.Event
    }
    $InUse = @{}
    foreach ($Group in $Found.Keys) {
        if ($Found[$Group]) {
            $InUse[$Group] = $Found[$Group]
        }
    }
    $InUse
}

# What the exit codes of Server Configurator mean, as far as anybody has written it down:
# https://github.com/milestonesys/MilestonePSTools/blob/main/MilestonePSTools/Public/Tools/Invoke-ServerConfigurator.ps1
# https://github.com/tbalaz/MilestoneRecorderCertManager
$Meanings = @{
    '0' = 'it reports success'
    '-1' = 'an unknown error. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    '-2' = 'it does not know these arguments. Check that its version is 2020 R3 or later'
    '-3' = 'it refuses the value of an argument. Compare thumbprint and group with the table'
    '-4' = 'another Server Configurator is running, or this computer does not trust the certificate. Close the other one, let install.ps1 trust the CA, then run this again'
    '1' = 'it refused and changed nothing. Encrypt the event server first, then the management server, then the recording servers (second hand)'
    '20' = 'the event server uses the certificate, but the management server does not know it. Register it on the page Registering servers (second hand)'
    '100' = 'the certificate is in use, but the management server did not accept the registration. Run this as a member of the XProtect Administrators role (second hand)'
    '10000' = 'a Milestone service could not be stopped. Stop it by hand, then run this again (second hand)'
    '20000' = 'a Milestone service could not be stopped. Stop it by hand, then run this again (second hand)'
    '100000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server (second hand)'
    '300000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server (second hand)'
    '200000' = 'a code without a published meaning, seen in runs that had worked (second hand)'
}

# How a run ended by these codes; any other may have left anything behind.
$Endings = @{
    '0' = 'done'
    '-1' = 'not bound'
    '-2' = 'not bound'
    '-3' = 'not bound'
    '-4' = 'not bound'
    '1' = 'not bound (second hand)'
    '20' = 'bound, not registered (second hand)'
    '100' = 'bound, not registered (second hand)'
    '10000' = 'not bound (second hand)'
    '20000' = 'not bound (second hand)'
    '100000' = 'bound, not registered (second hand)'
    '300000' = 'bound, not registered (second hand)'
    '200000' = 'done (second hand)'
}

# Whether this computer holds a certificate with its key, and trusts it itself.
function Test-Trusted {
    param([string]$Label)
    if (-not (Test-Held -Label $Label)) {
        return $false
    }
    $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
    $Chain.ChainPolicy.RevocationMode = 'NoCheck'
    $Chain.Build((Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Label)))
}

# Runs Server Configurator to its end: exit code and text.
function Invoke-ServerConfigurator {
    param([string]$Arguments)
    $Programs = Join-Path -Path $env:ProgramFiles -ChildPath '*\Server Configurator\ServerConfigurator.exe'
    $Program = Get-ChildItem -Path $Programs | Select-Object -First 1
    if (-not $Program) {
        throw 'Server Configurator is not installed here.'
    }
    $Version = [version]('{0}.{1}' -f $Program.VersionInfo.FileMajorPart, $Program.VersionInfo.FileMinorPart)
    if ($Version -lt [version]'20.3') {
        throw ('Server Configurator {0} has no command line: it came with 2020 R3 (20.3).' -f $Version)
    }
    $Start = [System.Diagnostics.ProcessStartInfo]::new($Program.FullName, $Arguments)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [System.Diagnostics.Process]::Start($Start)
    $Reading = $Process.StandardOutput.ReadToEndAsync()
    $Process.WaitForExit()
    $Text = ''
    if ($Reading.Wait(5000)) {
        $Text = $Reading.Result
    }
    @{
        Code = [string]$Process.ExitCode
        Text = $Text
    }
}

# The certificate groups that this computer has, as Server Configurator lists them.
function Get-GroupList {
    (Invoke-ServerConfigurator -Arguments '/listcertificategroups').Text
}

# What a certificate group uses, in words.
function Get-Used {
    param([string]$Label)
    if ($Label -eq 'unknown') {
        return 'a certificate that it does not name'
    }
    if ($Label) {
        return $Label
    }
    'no certificate'
}

# What a certificate group uses, once it uses what it should, or after two minutes: services that
# restart say nothing for a while.
function Wait-GroupCertificate {
    param([string]$Group, [string]$Label)
    $Until = [System.DateTime]::UtcNow.AddMinutes(2)
    $Now = [string](Get-CertificateInUse)[$Group]
    while ($Now -ne $Label -and [System.DateTime]::UtcNow -lt $Until) {
        [System.Threading.Thread]::Sleep(5000)
        $Now = [string](Get-CertificateInUse)[$Group]
        if ($Label -and $Group -eq 'event server' -and $Now -eq 'unknown') {
            return $Now
        }
    }
    $Now
}

# Lets a certificate group use a certificate, or none when the label is empty, and reads back what
# the servers really use.
function Set-GroupCertificate {
    param([string]$Group, [string]$Id, [string]$Label)
    $Before = [string](Get-CertificateInUse)[$Group]
    if ($Before -eq $Label) {
        return ('{0} uses {1} already' -f $Group, (Get-Used -Label $Label))
    }
    if ($Label -eq 'unknown') {
        throw ('{0} did not say which certificate it used before. Choose it in Server Configurator.' -f $Group)
    }
    $Arguments = '/quiet /enableencryption /certificategroup={0} /thumbprint={1}' -f $Id, $Label
    if (-not $Label) {
        $Arguments = '/quiet /disableencryption /certificategroup={0}' -f $Id
    }
    if (-not $PSCmdlet.ShouldProcess($Group, ('ServerConfigurator.exe {0}' -f $Arguments))) {
        return ('{0} uses {1} still' -f $Group, (Get-Used -Label $Before))
    }
    Add-Before -What $Group -Was $Before
    $Run = Invoke-ServerConfigurator -Arguments $Arguments
    $Meaning = $Meanings[$Run.Code]
    if (-not $Meaning) {
        $Meaning = 'a code that nobody has explained. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    }
    $Answer = 'Server Configurator answered {0}: {1}' -f $Run.Code, $Meaning
    $Now = Wait-GroupCertificate -Group $Group -Label $Label
    if ($Now -ne $Label -and -not ($Label -and $Group -eq 'event server' -and $Now -eq 'unknown')) {
        throw ('{0} uses {1} and not {2}. {3}.' -f $Group, (Get-Used -Label $Now), (Get-Used -Label $Label), $Answer)
    }
    if ($Endings[$Run.Code] -notlike 'done*') {
        throw ('{0} uses {1}, but {2}.' -f $Group, (Get-Used -Label $Now), $Answer)
    }
    if ($Now -eq 'unknown') {
        return ('{0} was given {1}, encrypts, and does not say with what; {2}' -f $Group, $Label, $Answer)
    }
    '{0} uses {1} now; {2}' -f $Group, (Get-Used -Label $Now), $Answer
}

function Step-UndoEncryption {
    $Before = Get-Before
    foreach ($Group in $UndoGroups) {
        if (-not $Before.ContainsKey($Group)) {
            '{0} was not changed' -f $Group
            continue
        }
        Set-GroupCertificate -Group $Group -Id ($UndoGroupIds[[array]::IndexOf($UndoGroups, $Group)]) -Label $Before[$Group]
        if (-not $WhatIfPreference) {
            Remove-Before -What $Group
        }
    }
}

# The file of a certificate's private key, or nothing when this computer's own key folders do not
# hold it. Windows has two kinds of keys: CNG keys lie in Keys, CAPI keys in RSA\MachineKeys.
function Get-KeyFile {
    param($Certificate)
    $Key = [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($Certificate)
    if ($null -eq $Key) {
        return
    }
    if ($Key -is [System.Security.Cryptography.RSACng]) {
        $Name = Split-Path -Path $Key.Key.UniqueName -Leaf
    }
    else {
        $Name = Split-Path -Path $Key.CspKeyContainerInfo.UniqueKeyContainerName -Leaf
    }
    foreach ($Folder in @('Keys', 'RSA\MachineKeys')) {
        $Path = Join-Path -Path $env:ProgramData -ChildPath ('Microsoft\Crypto\{0}\{1}' -f $Folder, $Name)
        if (Test-Path -LiteralPath $Path) {
            return $Path
        }
    }
}

# The SIDs of everyone who may read a key file.
function Get-KeyReader {
    param([string]$Path)
    $Read = [System.Security.AccessControl.FileSystemRights]::Read
    $Rules = (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    foreach ($Rule in $Rules) {
        if ($Rule.AccessControlType -eq 'Allow' -and ($Rule.FileSystemRights -band $Read) -eq $Read) {
            $Rule.IdentityReference.Value
        }
    }
}

# The SID of an account. A SID is taken as it is: it means the same in every language of Windows, as
# the names of its own accounts do not.
function Get-Sid {
    param([string]$Account)
    $Known = @{
        'LOCALSYSTEM' = 'S-1-5-18'
        '.\LOCALSYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\SYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\LOCALSERVICE' = 'S-1-5-19'
        'NTAUTHORITY\NETWORKSERVICE' = 'S-1-5-20'
    }
    $Plain = $Account.Replace(' ', '').ToUpperInvariant()
    if ($Known.ContainsKey($Plain)) {
        return $Known[$Plain]
    }
    if ($Account -like 'S-1-*') {
        return $Account
    }
    if ($Account -like '.\*') {
        $Account = '{0}\{1}' -f $env:COMPUTERNAME, $Account.Substring(2)
    }
    try {
        $Name = [System.Security.Principal.NTAccount]::new($Account)
        $Name.Translate([System.Security.Principal.SecurityIdentifier]).Value
    }
    catch {
        throw ('The account {0} is unknown on {1}.' -f $Account, $ComputerName)
    }
}

# The accounts that the named services of this computer run as; a service that is not here has none.
function Get-RunningAccount {
    param([string[]]$Names)
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        if ($Service.StartName -and ($Names -contains $Service.Name -or $Names -contains $Service.DisplayName)) {
            $Service.StartName
        }
    }
}

# Lets an account read a private key: Read is what TLS needs. What others may do stays as it is.
function Grant-KeyRead {
    param([string]$Path, [string]$Account)
    $Sid = Get-Sid -Account $Account
    if (@(Get-KeyReader -Path $Path) -contains $Sid) {
        return ('{0} may read the private key already' -f $Account)
    }
    if (-not $PSCmdlet.ShouldProcess($Path, ('Let {0} read the private key' -f $Account))) {
        return ('{0} may not read the private key yet' -f $Account)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $Acl.AddAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    Add-Before -What ('Reader {0}' -f $Sid) -Was 'absent'
    Set-Acl -LiteralPath $Path -AclObject $Acl
    if (@(Get-KeyReader -Path $Path) -notcontains $Sid) {
        throw ('{0} still may not read {1}.' -f $Account, $Path)
    }
    '{0} may read the private key now' -f $Account
}

# Takes the access away that Grant-KeyRead gave.
function Revoke-KeyRead {
    param([string]$Path, [string]$Sid)
    if (-not $PSCmdlet.ShouldProcess($Path, ('Take read access from {0}' -f $Sid))) {
        return ('{0} may still read the private key' -f $Sid)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $null = $Acl.RemoveAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    Set-Acl -LiteralPath $Path -AclObject $Acl
    Remove-Before -What ('Reader {0}' -f $Sid)
    '{0} may no longer read the private key' -f $Sid
}

function Step-UndoAccess {
    $Readers = @((Get-Before).Keys | Where-Object -FilterScript { $_ -like 'Reader *' })
    if ($Readers.Count -eq 0 -or -not (Test-Held -Label $Thumbprint)) {
        return 'no access was given'
    }
    $KeyFile = Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))
    foreach ($Reader in $Readers) {
        Revoke-KeyRead -Path $KeyFile -Sid $Reader.Substring(7)
    }
}

function Step-UndoCertificate {
    if ((Get-Before)['My {0}' -f $Thumbprint] -ne 'absent' -or -not (Test-Held -Label $Thumbprint)) {
        return ('{0} stays as it is in LocalMachine\My' -f $Thumbprint)
    }
    $InUse = @((Get-HttpCertificate).Values) + @((Get-CertificateInUse).Values)
    if (-not $WhatIfPreference -and ($InUse -contains $Thumbprint -or $InUse -contains 'unknown')) {
        throw ('{0} is still in use, or a service does not say what it uses.' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess($Thumbprint, 'Remove it with its private key')) {
        return ('{0} is still in LocalMachine\My' -f $Thumbprint)
    }
    Remove-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint) -DeleteKey
    Remove-Before -What ('My {0}' -f $Thumbprint)
    '{0} is no longer in LocalMachine\My' -f $Thumbprint
}

# Puts a carried certificate into a store of the computer, never into that of a user.
function Add-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    if (Test-Path -LiteralPath $InStore) {
        return ('{0} is in LocalMachine\{1} already' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Add {0}' -f $File))) {
        return ('{0} is not in LocalMachine\{1} yet' -f $Label, $Store)
    }
    Add-Before -What ('{0} {1}' -f $Store, $Label) -Was 'absent'
    $Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Join-Path -Path $PSScriptRoot -ChildPath $File))
    $Opened = [System.Security.Cryptography.X509Certificates.X509Store]::new($Store, 'LocalMachine')
    $Opened.Open('ReadWrite')
    $Opened.Add($Certificate)
    $Opened.Close()
    if (-not (Test-Path -LiteralPath $InStore)) {
        throw ('Windows did not keep {0} in LocalMachine\{1}.' -f $File, $Store)
    }
    '{0} is in LocalMachine\{1} now' -f $Label, $Store
}

# Takes a certificate out of a store of the computer again, if install.ps1 had put it there.
function Remove-FromStore {
    param([string]$Store, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    if ((Get-Before)['{0} {1}' -f $Store, $Label] -ne 'absent' -or -not (Test-Path -LiteralPath $InStore)) {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Remove {0}' -f $Label))) {
        return ('{0} is still in LocalMachine\{1}' -f $Label, $Store)
    }
    Remove-Item -LiteralPath $InStore
    Remove-Before -What ('{0} {1}' -f $Store, $Label)
    '{0} is no longer in LocalMachine\{1}' -f $Label, $Store
}

function Step-UndoTrust {
    foreach ($Label in $CaThumbprints) {
        Remove-FromStore -Store 'Root' -Label $Label
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0

try {
    Invoke-Step -In 'Check' -Name 'administrator' -Deed { Step-Administrator } -Remedy 'Open the 64-bit PowerShell with "Run as administrator" and start this script again.'
    Invoke-Step -In 'Check' -Name 'writable-folder' -Deed { Step-WritableFolder } -Remedy 'Copy the whole folder to a disk of this computer, for example to the desktop.'
    Invoke-Step -In 'Check' -Name 'right-computer' -Deed { Step-RightComputer } -Remedy 'Carry the folder to its own computer.'
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Check' -Name 'newest-certificate' -Deed { Step-NewestCertificate } -Remedy 'Take the newest folder of this computer: this one is out of date.'
    Invoke-Step -In 'Undo' -Name 'undo-encryption' -Deed { Step-UndoEncryption } -Remedy 'Switch the group back in the window of Server Configurator.'
    Invoke-Step -In 'Undo' -Name 'undo-access' -Deed { Step-UndoAccess } -Remedy 'Take it away in "Manage Private Keys".'
    Invoke-Step -In 'Undo' -Name 'undo-certificate' -Deed { Step-UndoCertificate } -Remedy 'Undo the encryption first: the certificate is still in use.'
    Invoke-Step -In 'Undo' -Name 'undo-trust' -Deed { Step-UndoTrust } -Remedy 'Remove it in mmc, Certificates (Local Computer), Trusted Root Certification Authorities.'
}
finally {
    Invoke-Inventory
}
