<#
.SYNOPSIS
    For Intune: ends with 1 where this computer does not trust a CA certificate.
.DESCRIPTION
    The detection script of a remediation, which runs where this one ends with 1. It only looks, into
    LocalMachine\Root and LocalMachine\Disallowed. One line says what it found. For an application
    of Configuration Manager take detect-application.ps1: there 1 means that nobody knows.
    Nothing is written to the error stream, which Intune counts as a failure, but in constrained
    language mode, which is one.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$CaName = 'Example VMS root 2026'
$CaThumbprint = 'B15D863573607CFB38E4CF23DF978278732B1CED'
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

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Code = 1
try {
    $State = 'does not trust'
    if (Test-Trust -Label $CaThumbprint) {
        $State = 'trusts'
        $Code = 0
    }
    Write-Output ('{0} {1} the certificate {2} ({3}).' -f $env:COMPUTERNAME, $State, $CaName, $CaThumbprint)
}
catch {
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}
exit $Code
