<#
.SYNOPSIS
    Prepares this computer for encrypted XProtect communication, step by step.
.DESCRIPTION
    The page README.html beside this script lists every step with what it changes, how it ends and
    how to undo it. Each step looks first: what is there already stays as it is, so the script can
    run twice without harm. It notes how things were for undo.ps1, in
    %ProgramData%\vmscert\before.json, writes what it did into log.jsonl, and ends with an inventory:
    one file, named after the computer and .json. Bring that file back.
.PARAMETER Phase
    Prepare (the default) brings the CA certificate, and to a server its own. Encrypt switches
    encryption on. Retire removes certificates and CAs that were replaced, and bars those whose key
    was stolen. Both only when the plan says that it is their turn.
.PARAMETER Turn
    Where other computers have their turn in between, Encrypt takes several visits: 1, 2 and so on.
    The plan and the page say which.
.PARAMETER ByHand
    For Retire: the certificate groups, with a comma between them, of which somebody has seen in the
    window of Server Configurator that they do not use what is to go. An event server does not say
    by itself what it uses.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File install.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [ValidateSet('Prepare', 'Encrypt', 'Retire')]
    [string]$Phase = 'Prepare',
    [int]$Turn = 0,
    [string]$ByHand = ''
)

# part: language

# inputs: begin
# inputs: end

$Phases = @('Check', $Phase)

# steps
