<#
.SYNOPSIS
    Joins the certificate that the CA made with the private key that waits on this computer.
.DESCRIPTION
    Only this part of install.ps1, for a computer that trusts the CA already. It ends with an
    inventory: bring it back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File accept.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# part: language

# inputs: begin
# inputs: end

$Phases = @('Check', 'Prepare')

# steps
