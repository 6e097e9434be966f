<#
.SYNOPSIS
    For an application of Configuration Manager: is silent where this computer does not trust a CA
    certificate.
.DESCRIPTION
    The custom script of a detection method. It only looks, into LocalMachine\Root and
    LocalMachine\Disallowed. Ends with 0 and writes one line where the certificate is trusted: the
    application is installed. Ends with 0 and writes nothing where it is not: the application is not
    installed. Any other end means that the state is unknown. For Intune take detect.ps1.
    Nothing is written to the error stream but in constrained language mode.
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
$Code = 0
try {
    if (Test-Trust -Label $CaThumbprint) {
        Write-Output ('{0} trusts the certificate {1} ({2}).' -f $env:COMPUTERNAME, $CaName, $CaThumbprint)
    }
}
catch {
    $Code = 1
    Write-Output ('{0} failed: {1}' -f $env:COMPUTERNAME, $_.Exception.Message)
}
exit $Code
