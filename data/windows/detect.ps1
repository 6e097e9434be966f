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

# part: language

# inputs: begin
$CaName = ''
$CaThumbprint = ''
# inputs: end

# part: trusted-root

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
