<#
.SYNOPSIS
    Writes down which certificates this computer holds, trusts and uses.
.DESCRIPTION
    Reads the certificate stores, who may read the private keys (never the keys themselves), the
    certificates in use, the services of XProtect, names, addresses, clock and TLS settings. It asks
    the computer ClockSource for its time, if one is named. The user's own stores are those of
    whoever runs it. What can't be read is told with the reason, and the rest is read. It changes
    nothing, and writes one file beside itself: the name of the computer and .json. Bring that file
    back.
.PARAMETER ClockOffset
    The seconds by which this clock is off, from a script that has asked already.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File inventory.ps1
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [string]$ClockOffset = 'ask'
)

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$ComputerName = 'vms-rec-01'
$ClockSource = 'vms-ms-01.example.local'
# inputs: end

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

# The SIDs of the entries of a key file that allow to read it, or that deny it.
function Get-KeyEntry {
    param([string]$Path, [string]$Kind)
    $Read = [System.Security.AccessControl.FileSystemRights]::Read
    $Rules = (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    foreach ($Rule in $Rules) {
        $Shared = $Rule.FileSystemRights -band $Read
        $Counts = $Shared -eq $Read -or ($Kind -eq 'Deny' -and [int]$Shared -ne 0)
        if ($Rule.AccessControlType -eq $Kind -and $Counts) {
            $Rule.IdentityReference.Value
        }
    }
}

# The SIDs of everyone who may read a key file. What denies it to everyone, to who is logged on, or
# to services counts for them all.
function Get-KeyReader {
    param([string]$Path)
    $Denied = @(Get-KeyEntry -Path $Path -Kind 'Deny')
    $All = @('S-1-1-0', 'S-1-5-11', 'S-1-5-6') | Where-Object -FilterScript { $Denied -contains $_ }
    if (@($All).Count -eq 0) {
        Get-KeyEntry -Path $Path -Kind 'Allow' | Where-Object -FilterScript { $Denied -notcontains $_ }
    }
}

# The notes of this kit on this computer, in one file for all folders that were carried here: a
# folder that is copied again, or deleted, must not take the way back along.
function Get-NotesFile {
    Join-Path -Path $env:ProgramData -ChildPath 'vmscert\before.json'
}

# All notes: what -> how it was. Broken notes are told, and never taken for none.
function Read-Note {
    $Noted = @{}
    $Path = Get-NotesFile
    if (-not (Test-Path -LiteralPath $Path)) {
        return $Noted
    }
    try {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
    catch {
        $Json = $null
    }
    $Whole = $Json -is [System.Management.Automation.PSCustomObject]
    if ($Whole) {
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = $Property.Value
            $Whole = $Whole -and $Property.Value -is [string]
        }
    }
    if (-not $Whole) {
        throw ('{0}, in which install.ps1 noted how things were, is broken. Nothing is changed. What to do: restore it from a backup of this computer; if there is none, move it away, and undo.ps1 can not put back what was changed before.' -f $Path)
    }
    $Noted
}

# What could not be read -> why, and which file or program spoke of a group. The inventory tells both.
$Unread = @{}
$ToldBy = @{}

# The certificates that Windows itself serves HTTPS with: address, or host name, and port ->
# thumbprint. Both are found by their form: the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = [ordered]@{}
    $Place = ''
    $global:LASTEXITCODE = 0
    $Lines = @(netsh http show sslcert)
    foreach ($Line in $Lines) {
        if ($Line -match '\s(\S+:\d{1,5})\s*$') {
            $Place = $Matches[1]
        }
        elseif ($Place -and $Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Place] = $Matches[0].ToUpperInvariant()
        }
    }
    if ($global:LASTEXITCODE -ne 0 -and $Thumbprints.Count -eq 0) {
        throw ('netsh answered {0}: {1}' -f $global:LASTEXITCODE, ($Lines -join ' ').Trim())
    }
    $Thumbprints
}

# The same, or nothing where netsh could not be asked.
function Get-Https {
    try {
        Get-HttpCertificate
    }
    catch {
        $Unread['https'] = $_.Exception.GetBaseException().Message
    }
}

# The thumbprint served on a port: at this address if it is bound there, else at any.
function Get-PortCertificate {
    param($Https, [string]$Port, [string]$Address = '0.0.0.0')
    if ($null -eq $Https) {
        throw ('what Windows serves on port {0} could not be read: {1}' -f $Port, $Unread['https'])
    }
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

# What an XProtect server wrote into its configuration file, or what it uses without one. The path
# ends at an attribute or at text(), whose value can be read. A file that is cut short is an error.
function Get-Setting {
    param([string]$Path, [string]$XPath, [string]$Default = '')
    if ($Path -and (Test-Path -LiteralPath $Path)) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            return $Found.Node.Value.Trim()
        }
    }
    $Default
}

# The configuration files of the XProtect servers. That of the mobile server lies beside its
# program, which the registry names, or names the folder of.
function Get-ConfigurationFile {
    $Mobile = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Mobile Server' -Name 'INSTALLATIONFOLDER')
    if ($Mobile -and -not $Mobile.EndsWith('.exe')) {
        $Mobile = '{0}\VideoOS.MobileServer.Service.exe' -f $Mobile.TrimEnd('\', '/')
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
    param($Https, $Files)
    if ($Files.Mobile -and -not (Test-Path -LiteralPath $Files.Mobile)) {
        throw ('{0}, which the registry names, is not there' -f $Files.Mobile)
    }
    $Place = '/configuration/HttpSecureMetaChannel/Address/add[@key="{0}"]/@value'
    $Port = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Port') -Default '8082'
    $Address = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Ip') -Default '+'
    $ToldBy['mobile streaming media'] = 'http.sys, port {0}' -f $Port
    Get-PortCertificate -Https $Https -Port $Port -Address $Address.Replace('+', '0.0.0.0')
}

# A certificate in a configuration file of the recording server, by its element: nothing where the
# element is not there, 'off', a thumbprint, or 'unknown' where it is on and names none.
function Get-RecorderCertificate {
    param([string]$File, [string]$Element)
    $Enabled = Get-Setting -Path $File -XPath ('{0}/@enabled' -f $Element)
    $Hash = (Get-Setting -Path $File -XPath ('{0}/@certificateHash' -f $Element)) -replace '[^0-9A-Fa-f]', ''
    if ($Enabled -eq 'false') {
        return 'off'
    }
    if ($Hash) {
        return $Hash.ToUpperInvariant()
    }
    if ($Enabled -eq 'true') {
        return 'unknown'
    }
}

# The certificate that the recording server streams with.
function Get-MediaCertificate {
    param($Https, $Files)
    $ToldBy['streaming media'] = 'RecorderConfig.xml'
    Get-RecorderCertificate -File $Files.Recording -Element '/recorderconfig/webserver/encryption' | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the group server: Windows serves each of its services on a port, and the
# recording server has it in its configuration, too. Where they differ, nobody can say which one the
# group uses.
function Get-ServerCertificate {
    param($Https, $Files)
    $Told = [ordered]@{}
    $Said = Get-RecorderCertificate -File $Files.Recording -Element '//serverEncryption'
    if ($Said) {
        $Told['RecorderConfig.xml'] = $Said
    }
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port/text()' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port/text()' -Default '9000'
    if ($null -ne $Https -or -not $Said -or (Test-Path -LiteralPath $Files.Management)) {
        foreach ($Port in @($Recording, $Management, '8990', '22337')) {
            $Found = Get-PortCertificate -Https $Https -Port $Port
            if ($Found) {
                $Told[('http.sys, port {0}' -f $Port)] = $Found
            }
        }
    }
    $ToldBy['server'] = @($Told.Keys | ForEach-Object -Process { '{0}: {1}' -f $_, $Told[$_] }) -join '; '
    $Named = @($Told.Values | Where-Object -FilterScript { $_ -ne 'unknown' } | Sort-Object -Unique)
    if ($Named.Count -gt 1 -or ($Named.Count -eq 0 -and $Told.Count -gt 0)) {
        return 'unknown'
    }
    $Named | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the event server. Its configuration says whether it encrypts; with which one it
# says only where it names a thumbprint, or where Windows serves its port.
function Get-EventCertificate {
    param($Https, $Files)
    $ToldBy['event server'] = 'ServiceEndpoints.xml'
    $Enabled = Get-Setting -Path $Files.Event -XPath '//*[local-name()="CertificateEnabled"]/text()'
    if ($Enabled -ne 'true') {
        return
    }
    if ([System.IO.File]::ReadAllText($Files.Event) -match '\b[0-9A-Fa-f]{40}\b') {
        return $Matches[0].ToUpperInvariant()
    }
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Found) {
        $ToldBy['event server'] = 'http.sys, port 22331'
        return $Found
    }
    'unknown'
}

# The certificates that the XProtect services really use: certificate group -> thumbprint, or
# 'unknown' where a service encrypts and does not say with which one, or where it can't be read.
function Get-CertificateInUse {
    $Unread.Clear()
    $ToldBy.Clear()
    $Https = Get-Https
    $Files = Get-ConfigurationFile
    $Looks = @{
        'server' = { Get-ServerCertificate -Https $Https -Files $Files }
        'streaming media' = { Get-MediaCertificate -Https $Https -Files $Files }
        'mobile streaming media' = { Get-MobileCertificate -Https $Https -Files $Files }
        'event server' = { Get-EventCertificate -Https $Https -Files $Files }
    }
    $InUse = @{}
    foreach ($Group in $Looks.Keys) {
        try {
            $Found = & $Looks[$Group]
        }
        catch {
            $Unread[$Group] = $_.Exception.GetBaseException().Message
            $Found = 'unknown'
        }
        if ($Found) {
            $InUse[$Group] = $Found
        }
        else {
            $ToldBy.Remove($Group)
        }
    }
    $InUse
}

# Why something could not be read, in brackets, or nothing.
function Get-Why {
    param([string]$What)
    if ($Unread.ContainsKey($What)) {
        ' ({0})' -f $Unread[$What]
    }
}

# The thumbprints of a store's own certificates, as the registry keeps them. A store that Windows
# shows holds those of other stores too: a user sees the roots of the computer, and among these the
# third-party roots.
function Get-OwnThumbprint {
    param([string]$Store)
    $Key = '{0}\Certificates' -f $Store
    if (Test-Path -LiteralPath $Key) {
        foreach ($Entry in @(Get-ChildItem -LiteralPath $Key)) {
            $Entry.PSChildName
        }
    }
}

# Certificates, as base64 of their DER bytes.
function Get-Encoded {
    param($Certificates)
    foreach ($Certificate in $Certificates) {
        [System.Convert]::ToBase64String($Certificate.RawData)
    }
}

# The roots that lie in the user's own store, also when the computer holds them too.
function Get-UserRoot {
    $Own = @(Get-OwnThumbprint -Store 'HKCU:\Software\Microsoft\SystemCertificates\Root')
    Get-ChildItem -LiteralPath 'Cert:\CurrentUser\Root' | Where-Object -FilterScript { $Own -contains $_.Thumbprint }
}

# The roots of the computer without those that only its store of third-party roots holds.
function Get-ComputerRoot {
    $Own = @(Get-OwnThumbprint -Store 'HKLM:\SOFTWARE\Microsoft\SystemCertificates\ROOT')
    $Others = @(Get-OwnThumbprint -Store 'HKLM:\SOFTWARE\Microsoft\SystemCertificates\AuthRoot')
    $Others = @($Others | Where-Object -FilterScript { $Own -notcontains $_ })
    Get-ChildItem -LiteralPath 'Cert:\LocalMachine\Root' | Where-Object -FilterScript { $Others -notcontains $_.Thumbprint }
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

# A well-known SID stays a SID, which means the same in every language; other accounts get a name.
function Get-AccountName {
    param([string]$Sid)
    if ($Sid -notlike 'S-1-5-21-*') {
        return $Sid
    }
    try {
        [System.Security.Principal.SecurityIdentifier]::new($Sid).Translate([System.Security.Principal.NTAccount]).Value
    }
    catch {
        $Sid
    }
}

# The account of a service, named like those that may read a private key.
function Get-ServiceAccount {
    param([string]$Account)
    try {
        Get-AccountName -Sid (Get-Sid -Account $Account)
    }
    catch {
        $Account
    }
}

# The services of XProtect, with the accounts that they run as.
function Get-XProtectService {
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        if (('{0} {1}' -f $Service.Name, $Service.DisplayName) -match 'Milestone|XProtect|VideoOS') {
            [ordered]@{
                name = [string]$Service.Name
                display = [string]$Service.DisplayName
                account = [string](Get-ServiceAccount -Account $Service.StartName)
                state = [string]$Service.State
            }
        }
    }
}

# Where each XProtect component of this computer looks for the management server. What can't be read
# is told among what could not be read.
function Get-RegisteredAddress {
    $Files = Get-ConfigurationFile
    $Looks = [ordered]@{
        'recording server' = { Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address/text()' }
        'recording server, identity provider' = { Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/authorizationserveraddress/text()' }
        'management server, identity provider' = { Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/AuthorizationServerUri/text()' }
        'mobile server' = { Get-Setting -Path $Files.Mobile -XPath '/configuration/ManagementServer/Address/add[@key="Ip"]/@value' }
        'event server' = { Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Event Server' -Name 'ManagementServerAddress' }
        'log server' = { Get-RegistryValue -Key 'Milestone\XProtect Log Server' -Name 'ManagementServerUrl' }
        'API gateway' = { Get-RegistryValue -Key 'VideoOS\GatewayService' -Name 'ServiceUrl' }
        'incident manager' = { Get-RegistryValue -Key 'Milestone\XProtect Incident Manager' -Name 'ManagementServerAddress' }
    }
    $Addresses = [ordered]@{}
    foreach ($Component in $Looks.Keys) {
        $Found = '{0}' -f (Get-Look -What ('registered: {0}' -f $Component) -Look $Looks[$Component])
        if ($Found) {
            $Addresses[$Component] = $Found
        }
    }
    $Addresses
}

# The ports of the management server's web site, which somebody may have changed.
function Get-WebPort {
    $Ports = [ordered]@{}
    foreach ($Name in @('WebSitePort', 'WebSiteSecurePort')) {
        $Found = '{0}' -f (Get-Look -What $Name -Look { Get-RegistryValue -Key 'VideoOS\Installation\Server' -Name $Name })
        if ($Found) {
            $Ports[$Name] = $Found
        }
    }
    $Ports
}

# Versions of TLS that somebody switched on or off in the registry; others are as Windows has them.
function Get-TlsSetting {
    $Settings = [ordered]@{}
    foreach ($Version in @('TLS 1.0', 'TLS 1.1', 'TLS 1.2', 'TLS 1.3')) {
        foreach ($Side in @('Client', 'Server')) {
            $Key = 'HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\{0}\{1}' -f $Version, $Side
            $Enabled = [Microsoft.Win32.Registry]::GetValue($Key, 'Enabled', $null)
            $OffByDefault = [Microsoft.Win32.Registry]::GetValue($Key, 'DisabledByDefault', $null)
            $Name = '{0} {1}' -f $Version, $Side
            if ($Enabled -eq 0 -or $OffByDefault -eq 1) {
                $Settings[$Name] = 'off'
            }
            elseif ($null -ne $Enabled -or $null -ne $OffByDefault) {
                $Settings[$Name] = 'on'
            }
        }
    }
    $Strong = Get-RegistryValue -Key 'Microsoft\.NETFramework\v4.0.30319' -Name 'SchUseStrongCrypto'
    if ($Strong -eq 0) {
        $Settings['.NET strong cryptography'] = 'off'
    }
    elseif ($null -ne $Strong) {
        $Settings['.NET strong cryptography'] = 'on'
    }
    $Settings
}

# The seconds by which this clock is ahead of another computer's, or null. The web server there
# tells its time, to the second, with every answer; nothing is fetched from it.
function Get-ClockOffset {
    param([string]$Source)
    $Offset = $null
    $Client = [System.Net.Sockets.TcpClient]::new()
    try {
        if ($Source -and $Client.ConnectAsync($Source, 80).Wait(3000)) {
            $Said = Read-HttpDate -Client $Client -Source $Source
            if ($Said) {
                $Offset = [System.Math]::Round(([System.DateTimeOffset]::UtcNow - $Said).TotalSeconds, 1)
            }
        }
    }
    catch {
        Write-Warning ('{0} did not tell its time: {1}' -f $Source, $_.Exception.GetBaseException().Message)
    }
    finally {
        $Client.Dispose()
    }
    $Offset
}

# The time in the first answer of a web server, or nothing.
function Read-HttpDate {
    param($Client, [string]$Source)
    $Stream = $Client.GetStream()
    $Stream.ReadTimeout = 3000
    $Request = 'HEAD / HTTP/1.1{0}Host: {1}{0}Connection: close{0}{0}' -f [System.Environment]::NewLine, $Source
    $Bytes = [System.Text.Encoding]::ASCII.GetBytes($Request)
    $Stream.Write($Bytes, 0, $Bytes.Length)
    $Reader = [System.IO.StreamReader]::new($Stream)
    $Header = $Reader.ReadLine()
    while ($Header) {
        if ($Header -match '^Date: *(.+)$') {
            return [System.DateTimeOffset]::ParseExact($Matches[1].Trim(), 'r', [System.Globalization.CultureInfo]::InvariantCulture)
        }
        $Header = $Reader.ReadLine()
    }
}

# What a look finds; where it fails, nothing, and the reason is kept.
function Get-Look {
    param([string]$What, [scriptblock]$Look)
    try {
        & $Look
    }
    catch {
        $Failed[$What] = $_.Exception.GetBaseException().Message
    }
}

# The accounts that may read the file of a private key.
function Get-Reader {
    param([string]$KeyFile)
    foreach ($Sid in @(Get-KeyReader -Path $KeyFile)) {
        Get-AccountName -Sid $Sid
    }
}

# The certificates of a store, with what is known of their private keys. Windows calls a key there,
# too, when it does not open.
function Get-Personal {
    param([string]$Store)
    foreach ($Certificate in @(Get-ChildItem -LiteralPath $Store)) {
        $HasKey = $Certificate.HasPrivateKey
        $Readers = @()
        if ($HasKey -and $Store -like 'Cert:\LocalMachine\*') {
            $What = 'private key of {0}' -f $Certificate.Thumbprint
            $KeyFile = Get-Look -What $What -Look { '{0}' -f (Get-KeyFile -Certificate $Certificate) }
            $HasKey = -not $Failed.ContainsKey($What)
            if ($KeyFile) {
                $Readers = @(Get-Look -What $What -Look { Get-Reader -KeyFile $KeyFile })
            }
        }
        [ordered]@{
            certificate = [System.Convert]::ToBase64String($Certificate.RawData)
            has_key = $HasKey
            readers = $Readers
        }
    }
}

# The names that this computer gives itself: of Windows, of the network, and the full one.
function Get-OwnName {
    $Network = [System.Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $env:COMPUTERNAME
    [System.Net.Dns]::GetHostName()
    ('{0}.{1}' -f $Network.HostName, $Network.DomainName).TrimEnd('.')
}

# The IP addresses of this computer.
function Get-OwnAddress {
    foreach ($Card in @(Get-CimInstance -ClassName Win32_NetworkAdapterConfiguration)) {
        if ($Card.IPEnabled) {
            foreach ($Address in $Card.IPAddress) {
                $Address
            }
        }
    }
}

# The release of Windows with its build.
function Get-Release {
    $System = Get-CimInstance -ClassName Win32_OperatingSystem
    '{0}, build {1}' -f $System.Caption.Trim(), $System.BuildNumber
}

# What the install script noted, line by line, if it ran here.
function Get-LogLine {
    $Log = Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'
    if (Test-Path -LiteralPath $Log) {
        [System.IO.File]::ReadAllLines($Log)
    }
}

# The certificates that this kit gave the groups: certificate group -> thumbprint.
function Get-Given {
    $Given = [ordered]@{}
    $Noted = Read-Note
    foreach ($What in @($Noted.Keys | Where-Object -FilterScript { $_ -like 'given *' } | Sort-Object)) {
        $Given[$What.Substring(6)] = $Noted[$What]
    }
    $Given
}

# The request for a certificate that request.ps1 made here, as text.
function Get-Request {
    $Request = Join-Path -Path $PSScriptRoot -ChildPath ('{0}.req' -f $ComputerName)
    if (Test-Path -LiteralPath $Request) {
        [System.IO.File]::ReadAllText($Request)
    }
}

# The seconds by which this clock is off, as it was asked for or as a script says, or null.
function Get-Offset {
    if ($ClockOffset -eq 'ask') {
        return Get-ClockOffset -Source $ClockSource
    }
    if ($ClockOffset) {
        return [double]$ClockOffset
    }
    $null
}

# Checks: administrator, right computer.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Administrator rights are missing. Open PowerShell with "Run as administrator" and start this script again.'
}
if ([System.Environment]::Is64BitOperatingSystem -and -not [System.Environment]::Is64BitProcess) {
    throw 'This is the 32-bit PowerShell, which does not see all of this computer. Open the 64-bit one.'
}
$ThisComputer = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
if ($ThisComputer -notcontains $ComputerName.Split('.')[0]) {
    throw ('This script is for {0}, but this computer is {1}. Carry it to {0}.' -f $ComputerName, $env:COMPUTERNAME)
}

# Read.
$Failed = @{}
$InUse = Get-CertificateInUse
$Https = Get-Https
if ($null -eq $Https) {
    $Https = @{}
}
$Inventory = [ordered]@{
    vmscert_inventory = 2
    host = $ComputerName
    at = [System.DateTime]::UtcNow.ToString('s', [System.Globalization.CultureInfo]::InvariantCulture) + 'Z'
    clock_source = $ClockSource
    clock_offset = Get-Offset
    windows = '{0}' -f (Get-Look -What 'windows' -Look { Get-Release })
    names = @(Get-Look -What 'names' -Look { Get-OwnName })
    addresses = @(Get-Look -What 'addresses' -Look { Get-OwnAddress })
    root = @(Get-Encoded -Certificates @(Get-ComputerRoot))
    third_party_root = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\AuthRoot'))
    user_root = @(Get-Look -What 'user_root' -Look { Get-Encoded -Certificates @(Get-UserRoot) })
    intermediate = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\CA'))
    disallowed = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\Disallowed'))
    personal = @(Get-Personal -Store 'Cert:\LocalMachine\My')
    user_personal = @(Get-Look -What 'user_personal' -Look { Get-Personal -Store 'Cert:\CurrentUser\My' })
    bindings = $InUse
    https = $Https
    registered = Get-RegisteredAddress
    services = @(Get-Look -What 'services' -Look { Get-XProtectService })
    tls = Get-TlsSetting
    request = '{0}' -f (Get-Request)
    given = Get-Look -What 'given' -Look { Get-Given }
    told_by = $ToldBy
    unread = $Unread
    web_ports = Get-WebPort
    log = @(Get-LogLine)
}
foreach ($What in $Failed.Keys) {
    $Unread[$What] = $Failed[$What]
}

# Write, through a temporary name: half an inventory is never brought back.
$File = Join-Path -Path $PSScriptRoot -ChildPath ('{0}.json' -f $ComputerName)
if ($PSCmdlet.ShouldProcess($File, 'Write the inventory')) {
    $New = '{0}.new' -f $File
    [System.IO.File]::WriteAllText($New, (ConvertTo-Json -InputObject $Inventory -Depth 4))
    if (Test-Path -LiteralPath $File) {
        [System.IO.File]::Replace($New, $File, [System.Management.Automation.Language.NullString]::Value)
    }
    else {
        [System.IO.File]::Move($New, $File)
    }
    Write-Output ('{0} is written. Bring it back.' -f $File)
}
