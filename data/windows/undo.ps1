<#
.SYNOPSIS
    Puts this computer back to how it was before install.ps1 changed it.
.DESCRIPTION
    Reads before.json, in which install.ps1 noted how each thing was, and restores only what it
    changed: first the CAs that it took away, then encryption, the certificate, and the CA that it
    brought. README.html says in which order several computers are undone. It ends with an
    inventory: bring it back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File undo.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
# inputs: end

$Phases = @('Check', 'Undo')

# steps
