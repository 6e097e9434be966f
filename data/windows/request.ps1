<#
.SYNOPSIS
    Makes a private key on this computer, and a request for a certificate that fits it.
.DESCRIPTION
    The key never leaves this computer; the request holds its public half only. It is named after
    the computer and .req, and the inventory with which this script ends carries a copy of it. Bring
    the inventory back, one file, named after the computer and .json.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File request.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# part: language

# inputs: begin
# inputs: end

$Phases = @('Check', 'Request')

# steps
