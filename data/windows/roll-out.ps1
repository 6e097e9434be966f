<#
.SYNOPSIS
    Makes any computer trust a CA certificate of a video management system, or trust it no longer.
.DESCRIPTION
    Carries the certificate inside, needs no file beside it and writes none: for PowerShell
    Remoting, Intune and Configuration Manager. Add puts the certificate into LocalMachine\Root,
    where every user and every service of a computer looks. Detect only looks, and ends with 1
    where the certificate is not trusted. Remove undoes Add. Bar puts the certificate into
    LocalMachine\Disallowed, out of LocalMachine\Root: it is never to be trusted again. Every
    action may be repeated. One line says how it went; the exit code is 0, or 1 where that line says
    what is wrong.
.PARAMETER Action
    Add, Detect, Remove or Bar. It has a place, so that Invoke-Command -ArgumentList can give it.
.EXAMPLE
    Invoke-Command -ComputerName vms-pc-01 -FilePath .\trust.ps1 -ArgumentList Detect
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File trust.ps1 -WhatIf
    Says what it would do here, and changes nothing.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Position = 0)]
    [string]$Action = ''
)

# inputs: begin
$UsualAction = ''
$CaName = ''
$CaSha256 = ''
$CaThumbprint = ''
$CaCertificate = ''
# inputs: end

# The certificate that this script carries, unchanged since the script was written.
function Get-CarriedCertificate {
    $Bytes = [System.Convert]::FromBase64String($CaCertificate)
    $Digest = [System.Security.Cryptography.SHA256]::Create().ComputeHash($Bytes)
    $Found = [System.BitConverter]::ToString($Digest).Replace('-', '')
    if ($Found -ne $CaSha256) {
        throw ('the script has changed: the SHA-256 of its certificate is {0}. Take it from its folder again.' -f $Found)
    }
    $Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new([byte[]]$Bytes)
    if ($Certificate.Thumbprint -ne $CaThumbprint) {
        throw ('the script has changed: the thumbprint of its certificate is {0}. Take it from its folder again.' -f $Certificate.Thumbprint)
    }
    $Certificate
}

# A store of the computer, never that of a user.
function Open-Store {
    param([string]$Name, [string]$Access)
    $Place = [System.Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
    $Store = [System.Security.Cryptography.X509Certificates.X509Store]::new($Name, $Place)
    $Store.Open([System.Security.Cryptography.X509Certificates.OpenFlags]$Access)
    $Store
}

function Test-InStore {
    param([string]$Name)
    $Store = Open-Store -Name $Name -Access 'ReadOnly'
    $Kind = [System.Security.Cryptography.X509Certificates.X509FindType]::FindByThumbprint
    $Found = $Store.Certificates.Find($Kind, $CaThumbprint, $false).Count
    $Store.Close()
    $Found -gt 0
}

function Test-Trust {
    (Test-InStore -Name 'Root') -and -not (Test-InStore -Name 'Disallowed')
}

# Whether the computer is as an action leaves it.
function Test-Done {
    if ($Action -eq 'Bar') {
        return (Test-InStore -Name 'Disallowed') -and -not (Test-InStore -Name 'Root')
    }
    if ($Action -eq 'Remove') {
        return -not (Test-InStore -Name 'Root')
    }
    Test-Trust
}

function Assert-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'administrator rights are missing. Run the script as administrator, or as SYSTEM.'
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 0
$Result = 'nothing was changed.'
try {
    # Checks.
    if (-not $Action) {
        $Action = $UsualAction
    }
    if (@('Add', 'Detect', 'Remove', 'Bar') -notcontains $Action) {
        throw ('the action {0} is unknown. Write Add, Detect, Remove or Bar.' -f $Action)
    }
    $Certificate = Get-CarriedCertificate

    # Act.
    if (Test-Done) {
        $Result = 'nothing to do.'
    }
    elseif ($Action -ne 'Detect' -and $PSCmdlet.ShouldProcess('LocalMachine', ('{0} {1}' -f $Action, $CaName))) {
        Assert-Administrator
        $Store = Open-Store -Name 'Root' -Access 'ReadWrite'
        if ($Action -eq 'Add') {
            $Store.Add($Certificate)
        }
        else {
            $Store.Remove($Certificate)
        }
        $Store.Close()
        if ($Action -eq 'Bar') {
            $Store = Open-Store -Name 'Disallowed' -Access 'ReadWrite'
            $Store.Add($Certificate)
            $Store.Close()
        }
        $Result = 'done.'

        # Verify.
        if (-not (Test-Done)) {
            throw 'Windows did not keep the change. Look for a policy that forbids or brings this root, and into Untrusted Certificates.'
        }
    }

    # Tell.
    if (Test-Trust) {
        $State = 'trusts'
    }
    else {
        $State = 'does not trust'
        $Code = [int]($Action -eq 'Detect')
    }
    Write-Output ('{0} {1} the certificate {2} ({3}): {4}' -f $env:COMPUTERNAME, $State, $CaName, $CaThumbprint, $Result)
}
catch {
    $Code = 1
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}

# Over PowerShell Remoting nobody waits for an exit code, and exit would end the session.
if ($Host.Name -ne 'ServerRemoteHost') {
    exit $Code
}
