<#
.SYNOPSIS
    Switches the encryption of the XProtect servers on this computer on.
.DESCRIPTION
    Tells Server Configurator (XProtect 2020 R3 or later) which certificate to use for each
    certificate group, then looks at what the servers really use: the exit code alone is not
    believed. The servers restart. What is encrypted with this certificate already is left alone.
    To undo: open Server Configurator, page Encryption, and switch the group off.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File enable.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$ComputerName = 'vms-rec-01'
$Thumbprint = '0123456789ABCDEF0123456789ABCDEF01234567'
$Groups = @('server', 'streaming media')
$GroupIds = @('84430eb7-847c-422d-aa00-7915cd0d7a65', '549df21d-047c-456b-958e-99e65dd8b3ec')
# inputs: end

$Meanings = @{
    '0' = 'it reports success'
    '-1' = 'an unknown error. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    '-2' = 'it does not know these arguments. Check that its version is 2020 R3 or later'
    '-3' = 'it refuses the value of an argument. Compare thumbprint and group with the table'
    '-4' = 'another Server Configurator is running, or this computer does not trust the certificate. Close the other one, run trust.ps1, then this script again'
    '1' = 'it refused and changed nothing. Encrypt the event server first, then the management server, then the recording servers'
    '100' = 'the certificate is in use, but the management server did not accept the registration. Run this script as a member of the XProtect Administrators role'
    '10000' = 'a Milestone service could not be stopped. Stop it by hand, then run this script again'
    '20000' = 'a Milestone service could not be stopped. Stop it by hand, then run this script again'
    '100000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server'
    '300000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server'
    '200000' = 'a code without a published meaning, seen in runs that had worked'
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

# The certificates that the XProtect services really use: certificate group -> thumbprint.
function Get-CertificateInUse {
    $Https = Get-HttpCertificate
    $Files = Get-ConfigurationFile
    $InUse = @{}
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port' -Default '9000'
    foreach ($Port in @($Recording, $Management)) {
        $Found = Get-PortCertificate -Https $Https -Port $Port
        if ($Found) {
            $InUse['server'] = $Found
        }
    }
    $Found = Get-MobileCertificate -Https $Https -File $Files.Mobile
    if ($Found) {
        $InUse['mobile streaming media'] = $Found
    }
    $Media = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webserver/encryption/@certificateHash'
    if ($Media -match '^[0-9A-Fa-f]{40}$') {
        $InUse['streaming media'] = $Media.ToUpperInvariant()
    }
    $Events = Get-Setting -Path $Files.Event -XPath '//*[local-name()="CertificateEnabled"]'
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Events -eq 'true' -and $Found) {
        $InUse['event server'] = $Found
    }
    $InUse
}

# Runs Server Configurator to its end: exit code and text.
function Invoke-ServerConfigurator {
    param([string]$Arguments)
    $Start = [System.Diagnostics.ProcessStartInfo]::new($Program.FullName, $Arguments)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [System.Diagnostics.Process]::Start($Start)
    $Text = $Process.StandardOutput.ReadToEnd()
    $Process.WaitForExit()
    @{
        Code = [string]$Process.ExitCode
        Text = $Text
    }
}

# Checks: administrator, right computer.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Administrator rights are missing. Open PowerShell with "Run as administrator" and start this script again.'
}
$ThisComputer = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
if ($ThisComputer -notcontains $ComputerName.Split('.')[0]) {
    throw ('This script is for {0}, but this computer is {1}. Carry it to {0}.' -f $ComputerName, $env:COMPUTERNAME)
}
$InStore = 'Cert:\LocalMachine\My\{0}' -f $Thumbprint
if (-not (Test-Path -LiteralPath $InStore) -or -not (Get-Item -LiteralPath $InStore).HasPrivateKey) {
    throw ('{0} does not hold the certificate {1} with its private key. Run import.ps1 first.' -f $ComputerName, $Thumbprint)
}
$Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
$Chain.ChainPolicy.RevocationMode = 'NoCheck'
if (-not $Chain.Build((Get-Item -LiteralPath $InStore))) {
    throw ('{0} does not trust the certificate {1} itself. Run trust.ps1 first, and look at the dates of the certificate.' -f $ComputerName, $Thumbprint)
}
$Folders = Join-Path -Path $env:ProgramFiles -ChildPath '*\Server Configurator\ServerConfigurator.exe'
$Program = Get-ChildItem -Path $Folders | Select-Object -First 1
if (-not $Program) {
    throw ('Server Configurator is not installed on {0}. Install the XProtect servers first.' -f $ComputerName)
}
$Version = [version]('{0}.{1}' -f $Program.VersionInfo.FileMajorPart, $Program.VersionInfo.FileMinorPart)
if ($Version -lt [version]'20.3') {
    throw ('Server Configurator {0} has no command line: it came with 2020 R3 (20.3). Use its window instead.' -f $Version)
}
$Listed = Invoke-ServerConfigurator -Arguments '/listcertificategroups'
foreach ($GroupId in $GroupIds) {
    if ($Listed.Text -notlike ('*{0}*' -f $GroupId)) {
        throw ('Server Configurator on {0} has no certificate group {1}. It lists: {2}' -f $ComputerName, $GroupId, $Listed.Text)
    }
}

# Act and verify, group by group, in the given order.
foreach ($Group in $Groups) {
    $GroupId = $GroupIds[[array]::IndexOf($Groups, $Group)]
    if ((Get-CertificateInUse)[$Group] -eq $Thumbprint) {
        Write-Output ('{0}: uses the certificate {1} already.' -f $Group, $Thumbprint)
        continue
    }
    if (-not $PSCmdlet.ShouldProcess($Group, ('Encrypt with the certificate {0}' -f $Thumbprint))) {
        continue
    }
    $Run = Invoke-ServerConfigurator -Arguments ('/quiet /enableencryption /certificategroup={0} /thumbprint={1}' -f $GroupId, $Thumbprint)
    $Meaning = $Meanings[$Run.Code]
    if (-not $Meaning) {
        $Meaning = 'a code that this script does not know. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    }
    if ((Get-CertificateInUse)[$Group] -ne $Thumbprint) {
        throw ('{0}: is not seen to use the certificate {1}. Server Configurator answered {2}: {3}.' -f $Group, $Thumbprint, $Run.Code, $Meaning)
    }
    if ($Run.Code -ne '0') {
        Write-Warning ('{0}: Server Configurator answered {1}: {2}.' -f $Group, $Run.Code, $Meaning)
    }
    Write-Output ('{0}: uses the certificate {1} now.' -f $Group, $Thumbprint)
}
