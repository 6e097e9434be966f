<#
.SYNOPSIS
    Writes down which certificates this computer holds, trusts and uses.
.DESCRIPTION
    Reads the certificate stores, who may read the private keys (never the keys themselves), the
    certificates in use, the services of XProtect, names, addresses, clock and TLS settings. It asks
    the computer ClockSource for its time, if one is named. The user's own stores are those of
    whoever runs it. It changes nothing, and writes one file beside itself: the name of the computer
    and .json. Bring that file back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File inventory.ps1
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

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

# Where each XProtect component of this computer looks for the management server.
function Get-RegisteredAddress {
    $Files = Get-ConfigurationFile
    $Addresses = [ordered]@{
        'recording server' = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address'
        'recording server, identity provider' = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/authorizationserveraddress'
        'management server, identity provider' = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/AuthorizationServerUri'
        'mobile server' = Get-Setting -Path $Files.Mobile -XPath '/configuration/ManagementServer/Address/add[@key="Ip"]/@value'
        'event server' = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Event Server' -Name 'ManagementServerAddress')
        'log server' = [string](Get-RegistryValue -Key 'Milestone\XProtect Log Server' -Name 'ManagementServerUrl')
        'API gateway' = [string](Get-RegistryValue -Key 'VideoOS\GatewayService' -Name 'ServiceUrl')
    }
    foreach ($Component in @($Addresses.Keys)) {
        if (-not $Addresses[$Component]) {
            $Addresses.Remove($Component)
        }
    }
    $Addresses
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

# The accounts that may read the private key of a certificate.
function Get-Reader {
    param($Certificate)
    try {
        $KeyFile = Get-KeyFile -Certificate $Certificate
        if ($KeyFile) {
            foreach ($Sid in @(Get-KeyReader -Path $KeyFile)) {
                Get-AccountName -Sid $Sid
            }
        }
    }
    catch {
        Write-Warning ('The private key of {0} could not be read: {1}' -f $Certificate.Subject, $_.Exception.Message)
    }
}

# The certificates of a store, with what is known of their private keys.
function Get-Personal {
    param([string]$Store)
    foreach ($Certificate in @(Get-ChildItem -LiteralPath $Store)) {
        $Readers = @()
        if ($Certificate.HasPrivateKey -and $Store -like 'Cert:\LocalMachine\*') {
            $Readers = @(Get-Reader -Certificate $Certificate)
        }
        [ordered]@{
            certificate = [System.Convert]::ToBase64String($Certificate.RawData)
            has_key = $Certificate.HasPrivateKey
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

# What the install script noted, line by line, if it ran here.
function Get-LogLine {
    $Log = Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'
    if (Test-Path -LiteralPath $Log) {
        [System.IO.File]::ReadAllLines($Log)
    }
}

# The request for a certificate that request.ps1 made here, as text.
function Get-Request {
    $Request = Join-Path -Path $PSScriptRoot -ChildPath ('{0}.req' -f $ComputerName)
    if (Test-Path -LiteralPath $Request) {
        [System.IO.File]::ReadAllText($Request)
    }
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
$System = Get-CimInstance -ClassName Win32_OperatingSystem
$Inventory = [ordered]@{
    vmscert_inventory = 2
    host = $ComputerName
    at = [System.DateTime]::UtcNow.ToString('s') + 'Z'
    clock_source = $ClockSource
    clock_offset = Get-ClockOffset -Source $ClockSource
    windows = '{0}, build {1}' -f $System.Caption.Trim(), $System.BuildNumber
    names = @(Get-OwnName)
    addresses = @(Get-OwnAddress)
    root = @(Get-Encoded -Certificates @(Get-ComputerRoot))
    third_party_root = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\AuthRoot'))
    user_root = @(Get-Encoded -Certificates @(Get-UserRoot))
    intermediate = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\CA'))
    disallowed = @(Get-Encoded -Certificates @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\Disallowed'))
    personal = @(Get-Personal -Store 'Cert:\LocalMachine\My')
    user_personal = @(Get-Personal -Store 'Cert:\CurrentUser\My')
    bindings = Get-CertificateInUse
    https = Get-HttpCertificate
    registered = Get-RegisteredAddress
    services = @(Get-XProtectService)
    tls = Get-TlsSetting
    request = [string](Get-Request)
    log = @(Get-LogLine)
}

# Write.
$File = Join-Path -Path $PSScriptRoot -ChildPath ('{0}.json' -f $ComputerName)
if ($PSCmdlet.ShouldProcess($File, 'Write the inventory')) {
    [System.IO.File]::WriteAllText($File, (ConvertTo-Json -InputObject $Inventory -Depth 4))
    Write-Output ('{0} is written. Bring it back.' -f $File)
}
