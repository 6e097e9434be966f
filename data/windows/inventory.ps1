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

# part: language

# inputs: begin
$ComputerName = ''
$ClockSource = ''
# inputs: end

# part: private-key

# part: notes-read

# part: certificate-in-use

# part: certificate-stores

# part: services

# part: tls-settings

# part: clock

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
