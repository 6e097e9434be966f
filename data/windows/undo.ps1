<#
.SYNOPSIS
    Puts this computer back to how it was before install.ps1 changed it.
.DESCRIPTION
    Reads the notes of install.ps1, in %ProgramData%\vmscert\before.json, and restores only what it
    changed. README.html says in which order several computers are undone. It ends with an
    inventory: bring it back.
.PARAMETER Phase
    Off lets each certificate group use again what it used before, another certificate or none, and
    changes nothing else. Remove (the default) puts back the CAs that were taken away, and takes away
    the certificate and the CA that were brought; it refuses while anything here may use them.
.PARAMETER Turn
    Where other computers have their turn in between, Off takes several visits: 1, 2 and so on. The
    plan and the page say which.
.PARAMETER All
    Back to how it was before the first folder of this kit, not only before this one.
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
    [ValidateSet('Remove', 'Off')]
    [string]$Phase = 'Remove',
    [int]$Turn = 0,
    [switch]$All,
    [string]$ByHand = '',
    [switch]$RemoveKey
)

# part: language

# inputs: begin
# inputs: end

$Phases = @('Check', $Phase)

# steps
