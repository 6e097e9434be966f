<#
.SYNOPSIS
    Makes any computer trust a CA certificate of a video management system, or trust it no longer.
.DESCRIPTION
    Carries the certificate inside, needs no file beside it and writes none: for PowerShell
    Remoting, Intune and Configuration Manager. Add puts the certificate into LocalMachine\Root,
    where every user and every service of a computer looks, but not where it lies among the
    Untrusted Certificates. Detect only looks, and ends with 1 where the certificate is not trusted.
    Remove undoes Add, once the computer trusts the successors of this CA, if there are any. Bar
    puts the certificate into LocalMachine\Disallowed, out of LocalMachine\Root: it is never to be
    trusted again. Every action may be repeated. One line says how it went; the exit code is 0, or 1
    where that line says what is wrong.
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

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$UsualAction = 'Add'
$CaName = 'Example VMS root 2026'
$CaSha256 = '2068af11f6fe25594b834bca5e380a836862825664ca002b5d2d4f20787d3a73'
$CaThumbprint = 'B15D863573607CFB38E4CF23DF978278732B1CED'
$CaCertificate = 'MIIDfDCCAmSgAwIBAgIBATANBgkqhkiG9w0BAQsFADBPMR4wHAYDVQQDDBVFeGFtcGxlIFZNUyByb290IDIwMjYxLTArBgNVBAsMJHRlYWNoaW5nIGtleSwgcHJpdmF0ZSBoYWxmIGlzIHB1YmxpYzAeFw0yNjAzMDEwOTAwMDBaFw0zNjAzMDEwOTAwMDBaME8xHjAcBgNVBAMMFUV4YW1wbGUgVk1TIHJvb3QgMjAyNjEtMCsGA1UECwwkdGVhY2hpbmcga2V5LCBwcml2YXRlIGhhbGYgaXMgcHVibGljMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA8FRFQUNISU5HIEtFWSwgSVRTIFBSSVZBVEUgSEFMRiBJUyBQVUJMSUMSEIZ7rF+GWuqXwb+vJeXZH4+RDdtkMJeF3n4n3+dQISaXn3GcASl0ykstiZUNT395efN4soBuW9K0DzMCJXrPKUtoXGQ0rHLa3su8ehK8wB+OKAvTwEUoyHQLImC96V/y56qPmly1j0CwpLsn5gsCDuEb7IF1+CgoLer7ZBbjTD8pbgYp6UvOx51THDoqmTXwCoD04RbunH9WdxIbgexaJLgSuvYkTQqOWLAN0NCWYBamasxdFfQEGyMXwRLKsrpFFXo/aai8SQNvJ2nBYH/iucQxMMuRlQIDAQABo2MwYTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUJoTbGiq+ID2Z/bj1RPmAqpbR8iowHwYDVR0jBBgwFoAUJoTbGiq+ID2Z/bj1RPmAqpbR8iowDQYJKoZIhvcNAQELBQADggEBABti1RZFcWLP9PE8kwkKe8KzDm1E0Ff+9eSWMdcVB6V6fh+mDLmQk6SjmgRrOhkhMuK0AbjISa0CEZSRGCivuR02lOAYrAIL/CECkG1BWlw23AsUs1TuDH4wHGiv8g5D4omGJjW14rPpq9yCklnyuMCzIwBq3FPqILtSai/2sVqEves1sAqqJBCLDekji9UVFTtLDYuARnawjeJLaagZuQF0A65eizLHwZN8NDwICEpo51yVXuGG0OiwTeqYiJgnhGb3hKxCY+Ra32Cw1NXVqrOrwHaPXuJQ3megrAPaIICPvVUy2OLERTAuP3X5Jia/CbGG6ZGy4G8zZM8f22E4cJY='
$Successors = @()
# inputs: end

# A store of the computer, never that of a user.
function Open-Store {
    param([string]$Name, [string]$Access)
    $Place = [System.Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
    $Store = [System.Security.Cryptography.X509Certificates.X509Store]::new($Name, $Place)
    $Store.Open([System.Security.Cryptography.X509Certificates.OpenFlags]$Access)
    $Store
}

function Test-InStore {
    param([string]$Name, [string]$Label)
    $Store = Open-Store -Name $Name -Access 'ReadOnly'
    $Kind = [System.Security.Cryptography.X509Certificates.X509FindType]::FindByThumbprint
    $Found = $Store.Certificates.Find($Kind, $Label, $false).Count
    $Store.Close()
    $Found -gt 0
}

# A root is trusted where it is among the roots, and nobody has barred it.
function Test-Trust {
    param([string]$Label)
    (Test-InStore -Name 'Root' -Label $Label) -and -not (Test-InStore -Name 'Disallowed' -Label $Label)
}

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

# Whether the computer is as an action leaves it.
function Test-Done {
    if ($Action -eq 'Bar') {
        return (Test-InStore -Name 'Disallowed' -Label $CaThumbprint) -and -not (Test-InStore -Name 'Root' -Label $CaThumbprint)
    }
    if ($Action -eq 'Remove') {
        return -not (Test-InStore -Name 'Root' -Label $CaThumbprint)
    }
    Test-Trust -Label $CaThumbprint
}

function Assert-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal]::new([System.Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'administrator rights are missing. Run the script as administrator, or as SYSTEM.'
    }
}

# What was barred on purpose is not trusted in passing.
function Assert-NotBarred {
    if (Test-InStore -Name 'Disallowed' -Label $CaThumbprint) {
        throw ('{0} is barred: it lies in LocalMachine\Disallowed (certlm.msc: Untrusted Certificates), so nothing was added. If that is a mistake, delete it there, or take it out of the policy that brings it, then run this script again.' -f $CaName)
    }
}

# Without its successor, a computer would refuse every server from one moment to the next.
function Assert-Successor {
    foreach ($Label in $Successors) {
        if (-not (Test-Trust -Label $Label)) {
            throw ('{0} stays, because this computer does not trust its successor {1} yet. Run the trust script of the same folder here first, then this one again.' -f $CaName, $Label)
        }
    }
}

# Puts the certificate into a store, and tells whether it did.
function Add-Certificate {
    param([string]$Name)
    if ((Test-InStore -Name $Name -Label $CaThumbprint) -or -not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Name), ('Add {0}' -f $CaName))) {
        return
    }
    Assert-Administrator
    $Store = Open-Store -Name $Name -Access 'ReadWrite'
    $Store.Add($Certificate)
    $Store.Close()
    if (-not (Test-InStore -Name $Name -Label $CaThumbprint)) {
        throw ('Windows did not keep {0} in LocalMachine\{1}. Look for a policy that forbids it.' -f $CaName, $Name)
    }
    $true
}

# Who brings the certificate back, as far as the registry tells (the keys are unconfirmed):
# https://learn.microsoft.com/en-us/windows/win32/seccrypto/system-store-locations
function Get-Keeper {
    $Place = 'Registry::HKEY_LOCAL_MACHINE\SOFTWARE\{0}\Root\Certificates\{1}'
    if (Test-Path -LiteralPath ($Place -f 'Policies\Microsoft\SystemCertificates', $CaThumbprint)) {
        return 'A Group Policy brings it: take it out of there, type gpupdate /force, then run this script again.'
    }
    if (Test-Path -LiteralPath ($Place -f 'Microsoft\EnterpriseCertificates', $CaThumbprint)) {
        return 'Active Directory brings it to all computers: whoever answers for the domain takes it out of there.'
    }
    'Look for a policy or a management tool that brings it, take it out of there, then run this script again.'
}

# Takes the certificate out of the roots, and tells whether it did. The store shows what lies among
# the third-party roots, too: what still shows is removed again. What a policy brings stays.
function Remove-Certificate {
    if (-not (Test-InStore -Name 'Root' -Label $CaThumbprint) -or -not $PSCmdlet.ShouldProcess('LocalMachine\Root', ('Remove {0}' -f $CaName))) {
        return
    }
    Assert-Administrator
    $Said = ''
    foreach ($Round in @(1, 2, 3)) {
        if (Test-InStore -Name 'Root' -Label $CaThumbprint) {
            $Store = Open-Store -Name 'Root' -Access 'ReadWrite'
            try {
                $Store.Remove($Certificate)
            }
            catch {
                $Said = ' Windows said: {0}' -f $_.Exception.Message
            }
            $Store.Close()
        }
    }
    if (Test-InStore -Name 'Root' -Label $CaThumbprint) {
        if (Test-InStore -Name 'Disallowed' -Label $CaThumbprint) {
            $Said = ' It is barred all the same.{0}' -f $Said
        }
        throw ('{0} is still in LocalMachine\Root. {1}{2}' -f $CaName, (Get-Keeper), $Said)
    }
    $true
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 0
$Changes = @()
try {
    # Checks.
    if (-not $Action) {
        $Action = $UsualAction
    }
    if (@('Add', 'Detect', 'Remove', 'Bar') -notcontains $Action) {
        throw ('the action {0} is unknown. Write Add, Detect, Remove or Bar.' -f $Action)
    }
    $Certificate = Get-CarriedCertificate
    $Before = Test-Done

    # Act; each change is looked at as soon as it is made.
    if ($Action -eq 'Add') {
        Assert-NotBarred
        $Changes = @(Add-Certificate -Name 'Root')
    }
    elseif ($Action -eq 'Remove' -and -not $Before) {
        Assert-Successor
        $Changes = @(Remove-Certificate)
    }
    elseif ($Action -eq 'Bar') {
        $Changes = @(Add-Certificate -Name 'Disallowed') + @(Remove-Certificate)
    }

    # Tell.
    if ($Before) {
        $Result = 'nothing to do.'
    }
    elseif ($Changes.Count -eq 0) {
        $Result = 'nothing was changed.'
    }
    elseif (Test-Done) {
        $Result = 'done.'
    }
    else {
        $Result = 'only a part was changed.'
    }
    if (Test-Trust -Label $CaThumbprint) {
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
