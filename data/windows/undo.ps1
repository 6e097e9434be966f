<#
.SYNOPSIS
    Puts this computer back to how it was before install.ps1 changed it.
.DESCRIPTION
    Reads the notes of install.ps1, in %ProgramData%\vmscert\before.json, and restores only what it
    changed: first the CAs that it took away, then encryption, the certificate, and the CA that it
    brought. What may be in use stays. It goes on where one thing can't be put back, and tells at
    the end. README.html says in which order several computers are undone. It ends with an
    inventory: bring it back.
.PARAMETER ByHand
    The certificate groups that somebody has switched back in the window of Server Configurator,
    with a comma between them: an event server does not say by itself what it uses.
.PARAMETER RemoveKey
    Removes also a certificate whose private key was made on this computer: nothing brings it back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File undo.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [string]$ByHand = '',
    [switch]$RemoveKey
)

# part: language

# inputs: begin
# inputs: end

$Phases = @('Check', 'Undo')

# steps
