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
$ComputerName = ''
$ClockSource = ''
# inputs: end

# part: private-key

# part: certificate-in-use

# part: certificate-stores

# part: services

# part: tls-settings

# part: clock

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
