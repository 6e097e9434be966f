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
$ComputerName = ''
$CaSha256 = ''
$CaThumbprint = ''
# inputs: end

# part: carried-file

# part: checks
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
