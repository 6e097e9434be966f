<#
.SYNOPSIS
    Makes this computer trust the CA certificate of the video management system.
.DESCRIPTION
    Puts ca.cer, which lies beside this script, into the store LocalMachine\Root: every user and
    every service of this computer looks there. What is there already stays as it is.
    To undo: Remove-Item -LiteralPath Cert:\LocalMachine\Root\THUMBPRINT
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File trust.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$ComputerName = 'vms-rec-01'
$CaSha256 = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
$CaThumbprint = '0123456789ABCDEF0123456789ABCDEF01234567'
# inputs: end

# A file that was carried here beside this script, unchanged since it was issued.
function Get-CarriedFile {
    param([string]$Name, [string]$Hash)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $Name
    if (-not (Test-Path -LiteralPath $Path)) {
        throw ('{0} is missing beside this script. Copy the whole folder again.' -f $Name)
    }
    $Found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($Found -ne $Hash) {
        throw ('{0} has changed since it was issued: its SHA-256 is {1}. Copy the whole folder again.' -f $Name, $Found)
    }
    $Path
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
$File = Get-CarriedFile -Name 'ca.cer' -Hash $CaSha256

# Act: the root store of the computer, never that of a user.
$InStore = 'Cert:\LocalMachine\Root\{0}' -f $CaThumbprint
if (Test-Path -LiteralPath $InStore) {
    Write-Output ('{0} trusts the CA certificate {1} already.' -f $ComputerName, $CaThumbprint)
    return
}
if (-not $PSCmdlet.ShouldProcess('Cert:\LocalMachine\Root', 'Add the CA certificate ca.cer')) {
    return
}
$null = Import-Certificate -FilePath $File -CertStoreLocation 'Cert:\LocalMachine\Root'

# Verify.
if (-not (Test-Path -LiteralPath $InStore)) {
    throw ('Windows did not keep the CA certificate {0}. Look for a policy that forbids new roots.' -f $CaThumbprint)
}
Write-Output ('{0} trusts the CA certificate {1} now.' -f $ComputerName, $CaThumbprint)
