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

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$ComputerName = 'vms-pc-01'
$Made = '2026-11-26T22:00:00+00:00'
$ClockSource = 'vms-ms-01.example.local'
$Files = @('ca.cer', 'inventory.ps1', 'undo.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', '85B3319F96ED8578BD10B690FF4B48E6C334F98C42596EA5CAF8F404288A1D98', '45471F08311C634046CD877F76863E9DE9993570A1E5AE6A1C1210CF097849AE')
$CaFiles = @('ca.cer')
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
# inputs: end

$Phases = @('Check', $Phase)

# The seconds by which this clock is off, once it was asked; 'ask' before that.
$ClockOffset = 'ask'

# What went wrong on the way back, which goes on with what does not depend on it.
$Failures = [System.Collections.ArrayList]::new()

# One line of the log, which the inventory brings back. Nothing fails for want of it.
function Add-LogLine {
    param([string]$Step, [string]$Result, [string]$Detail)
    if ($WhatIfPreference) {
        return
    }
    $Line = [ordered]@{
        at = [System.DateTime]::UtcNow.ToString('s', [System.Globalization.CultureInfo]::InvariantCulture) + 'Z'
        step = $Step
        result = $Result
        detail = $Detail
    }
    $Text = (ConvertTo-Json -InputObject $Line -Compress) + [System.Environment]::NewLine
    try {
        [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), $Text)
    }
    catch {
        Write-Warning ('log.jsonl could not be written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}

# Runs one step if this phase has it, and says how it ended. A step that fails ends the script, but
# on the way back, where the next steps look for themselves; what it had done is told, too.
function Invoke-Step {
    param([string]$In, [string]$Name, [scriptblock]$Deed, [string]$Remedy)
    if (@($In.Split('|') | Where-Object -FilterScript { $Phases -contains $_ }).Count -eq 0) {
        return
    }
    $Said = [System.Collections.ArrayList]::new()
    try {
        & $Deed | ForEach-Object -Process { $null = $Said.Add($_) }
    }
    catch {
        $Detail = @($Said) + @($_.Exception.GetBaseException().Message) -join '; '
        Add-LogLine -Step $Name -Result 'failed' -Detail $Detail
        $Problem = 'Step {0}: {1}' -f $Name, $Detail
        if ($Detail -notlike '*What to do: *') {
            $Problem = '{0} What to do: {1}' -f $Problem, $Remedy
        }
        if ($Name -notlike 'undo-*') {
            throw $Problem
        }
        $null = $Failures.Add($Problem)
        Write-Output $Problem
        return
    }
    $Detail = @($Said) -join '; '
    Add-LogLine -Step $Name -Result 'done' -Detail $Detail
    Write-Output ('{0}: {1}' -f $Name, $Detail)
}

# Ends a visit with the inventory, whatever came before.
function Invoke-Inventory {
    if ($WhatIfPreference) {
        return
    }
    $Script = Join-Path -Path $PSScriptRoot -ChildPath 'inventory.ps1'
    try {
        & $Script -ClockOffset $ClockOffset
    }
    catch {
        Write-Warning ('No inventory was written: {0}' -f $_.Exception.GetBaseException().Message)
    }
}

function Step-Administrator {
    $Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'Administrator rights are missing.'
    }
    if ([System.Environment]::Is64BitOperatingSystem -and -not [System.Environment]::Is64BitProcess) {
        throw 'This is the 32-bit PowerShell, which does not see all of this computer.'
    }
    'PowerShell runs as administrator'
}

# The notes of this kit on this computer, in one file for all folders that were carried here: a
# folder that is copied again, or deleted, must not take the way back along.
function Get-NotesFile {
    Join-Path -Path $env:ProgramData -ChildPath 'vmscert\before.json'
}

# All notes: what -> how it was. Broken notes are told, and never taken for none.
function Read-Note {
    $Noted = @{}
    $Path = Get-NotesFile
    if (-not (Test-Path -LiteralPath $Path)) {
        return $Noted
    }
    try {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
    }
    catch {
        $Json = $null
    }
    $Whole = $Json -is [System.Management.Automation.PSCustomObject]
    if ($Whole) {
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = $Property.Value
            $Whole = $Whole -and $Property.Value -is [string]
        }
    }
    if (-not $Whole) {
        throw ('{0}, in which install.ps1 noted how things were, is broken. Nothing is changed. What to do: restore it from a backup of this computer; if there is none, move it away, and undo.ps1 can not put back what was changed before.' -f $Path)
    }
    $Noted
}

# .NET Framework 4.6 brought GetRSAPrivateKey; its number of release is Microsoft's. Broken notes are
# found here, too, before anything is changed.
function Step-PowerShell {
    $Release = [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full', 'Release', $null)
    if ($null -ne $Release -and [int]$Release -lt 393295) {
        throw ('This computer has a .NET Framework before 4.6 (release {0}), which can not open private keys as this script does. What to do: install .NET Framework 4.8.' -f $Release)
    }
    try {
        $null = Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My'
        $null = Get-Command -Name 'Get-FileHash'
    }
    catch {
        throw ('This PowerShell does not find the certificate stores or its own commands: {0} What to do: open Windows PowerShell from the Start menu, and not from PowerShell 7, whose modules it would take.' -f $_.Exception.GetBaseException().Message)
    }
    $Policy = '{0}' -f (Get-ExecutionPolicy)
    foreach ($Script in @(Get-ChildItem -LiteralPath $PSScriptRoot)) {
        if ($Script.Name -like '*.ps1' -and $Policy -ne 'Bypass' -and (Test-Marked -Path $Script.FullName)) {
            throw ('{0} is still marked as from the Internet, and the execution policy {1} may stop it. What to do: Get-ChildItem -LiteralPath . | Unblock-File' -f $Script.Name, $Policy)
        }
    }
    $null = Read-Note
    'PowerShell {0} can do what is needed' -f $PSVersionTable.PSVersion
}

# Whether Windows noted that a file came from the Internet. A disk without streams notes nothing.
function Test-Marked {
    param([string]$Path)
    try {
        (Get-Item -LiteralPath $Path -Stream 'Zone.Identifier').Stream -eq 'Zone.Identifier'
    }
    catch {
        $false
    }
}

function Step-WritableFolder {
    if ($WhatIfPreference) {
        return 'it is not tried whether this folder can be written to'
    }
    [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), '')
    'this folder can be written to'
}

# An inventory of the visit before must not be brought back as that of this one.
function Step-RightComputer {
    $Names = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
    if ($Names -notcontains $ComputerName.Split('.')[0]) {
        throw ('This folder is for {0}, but this computer is {1}.' -f $ComputerName, $env:COMPUTERNAME)
    }
    if (-not $WhatIfPreference) {
        [System.IO.File]::Delete((Join-Path -Path $PSScriptRoot -ChildPath ('{0}.json' -f $ComputerName)))
    }
    'this computer is {0}' -f $ComputerName
}

# The seconds by which this clock is ahead of another computer's, or null. The web server there
# tells its time, to the second, with every answer; nothing is fetched from it.
function Get-ClockOffset {
    param([string]$Source)
    $Offset = $null
    $Client = [System.Net.Sockets.TcpClient]::new()
    try {
        if ($Source -and $Client.ConnectAsync($Source, 80).Wait(3000)) {
            $Said = Read-HttpDate -Client $Client -Source $Source
            if ($Said) {
                $Offset = [System.Math]::Round(([System.DateTimeOffset]::UtcNow - $Said).TotalSeconds, 1)
            }
        }
    }
    catch {
        Write-Warning ('{0} did not tell its time: {1}' -f $Source, $_.Exception.GetBaseException().Message)
    }
    finally {
        $Client.Dispose()
    }
    $Offset
}

# The time in the first answer of a web server, or nothing.
function Read-HttpDate {
    param($Client, [string]$Source)
    $Stream = $Client.GetStream()
    $Stream.ReadTimeout = 3000
    $Request = 'HEAD / HTTP/1.1{0}Host: {1}{0}Connection: close{0}{0}' -f [System.Environment]::NewLine, $Source
    $Bytes = [System.Text.Encoding]::ASCII.GetBytes($Request)
    $Stream.Write($Bytes, 0, $Bytes.Length)
    $Reader = [System.IO.StreamReader]::new($Stream)
    $Header = $Reader.ReadLine()
    while ($Header) {
        if ($Header -match '^Date: *(.+)$') {
            return [System.DateTimeOffset]::ParseExact($Matches[1].Trim(), 'r', [System.Globalization.CultureInfo]::InvariantCulture)
        }
        $Header = $Reader.ReadLine()
    }
}

function Step-RightTime {
    $Now = [System.DateTimeOffset]::UtcNow
    $Then = [System.DateTimeOffset]::Parse($Made, [System.Globalization.CultureInfo]::InvariantCulture)
    if ($Now -lt $Then.AddMinutes(-5)) {
        throw ('The clock of {0} says {1:u}, before this folder was made ({2:u}).' -f $ComputerName, $Now, $Then)
    }
    $Offset = Get-ClockOffset -Source $ClockSource
    $script:ClockOffset = [string]$Offset
    if ($null -eq $Offset) {
        return ('it is {0:u} here; no other clock answered, so compare that with your watch' -f $Now)
    }
    if ([System.Math]::Abs($Offset) -gt 300) {
        throw ('The clock of {0} is {1} seconds off that of {2}.' -f $ComputerName, $Offset, $ClockSource)
    }
    'the clock is {0} seconds off that of {1}' -f $Offset, $ClockSource
}

function Step-CarriedFile {
    foreach ($File in $Files) {
        $Path = Join-Path -Path $PSScriptRoot -ChildPath $File
        if (-not (Test-Path -LiteralPath $Path)) {
            throw ('{0} is missing beside this script.' -f $File)
        }
        if ((Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash -ne $Hashes[[array]::IndexOf($Files, $File)]) {
            throw ('{0} has changed since it was made: its SHA-256 is another one.' -f $File)
        }
    }
    '{0} files are as they were made' -f $Files.Count
}


# Writes all notes through a temporary name: a script that is killed leaves the old ones or the new.
function Save-Note {
    param($Noted)
    if ($WhatIfPreference) {
        return
    }
    $Path = Get-NotesFile
    $null = Get-OwnFolder
    $New = '{0}.new' -f $Path
    [System.IO.File]::WriteAllText($New, (ConvertTo-Json -InputObject $Noted))
    if (Test-Path -LiteralPath $Path) {
        [System.IO.File]::Replace($New, $Path, [System.Management.Automation.Language.NullString]::Value)
    }
    else {
        [System.IO.File]::Move($New, $Path)
    }
}

# The folder of this kit on this computer; it is made, and closed to others, before the first note.
function Get-OwnFolder {
    $Folder = Join-Path -Path $env:ProgramData -ChildPath 'vmscert'
    if (-not (Test-Path -LiteralPath (Get-NotesFile))) {
        $null = [System.IO.Directory]::CreateDirectory($Folder)
        Protect-Folder -Path $Folder
    }
    $Folder
}

# Lets SYSTEM and administrators into a folder, and nobody else: undo.ps1 believes what lies there.
function Protect-Folder {
    param([string]$Path)
    try {
        $Rules = [System.Security.AccessControl.DirectorySecurity]::new()
        $Rules.SetSecurityDescriptorSddlForm('O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
        Set-Acl -LiteralPath $Path -AclObject $Rules
    }
    catch {
        Write-Warning ('{0} could not be closed to others: {1}' -f $Path, $_.Exception.GetBaseException().Message)
    }
}

function Set-Note {
    param([string]$What, [string]$Value)
    $Noted = Read-Note
    $Noted[$What] = $Value
    Save-Note -Noted $Noted
}

function Remove-Note {
    param([string]$What)
    $Noted = Read-Note
    if ($Noted.ContainsKey($What)) {
        $Noted.Remove($What)
        Save-Note -Noted $Noted
    }
}

# The folders whose notes count, oldest first: this one, with undo.ps1 -All each that was here.
$Counted = @($Made)

# What these folders noted before they changed something: what -> how it was before the first.
function Get-Before {
    $Noted = @{}
    $Notes = Read-Note
    foreach ($Folder in $Counted) {
        foreach ($What in $Notes.Keys) {
            if ($What.StartsWith(('{0} ' -f $Folder)) -and -not $Noted.ContainsKey($What.Substring($Folder.Length + 1))) {
                $Noted[$What.Substring($Folder.Length + 1)] = $Notes[$What]
            }
        }
    }
    $Noted
}

# Notes how something was, once: a second run must not take its own change for the old state.
function Add-Before {
    param([string]$What, [string]$Was)
    if (-not (Get-Before).ContainsKey($What)) {
        Set-Note -What ('{0} {1}' -f $Made, $What) -Value $Was
    }
}

# Forgets how something was, once it is so again. That this folder was undone is kept: no notes at
# all would mean that they are lost.
function Remove-Before {
    param([string]$What)
    Set-Note -What ('{0} undone' -f $Made) -Value 'yes'
    foreach ($Folder in $Counted) {
        Remove-Note -What ('{0} {1}' -f $Folder, $What)
    }
}

# Puts a carried certificate into a store of the computer, never into that of a user.
function Add-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    if (Test-Path -LiteralPath $InStore) {
        return ('{0} is in LocalMachine\{1} already' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Add {0}' -f $File))) {
        return ('{0} is not in LocalMachine\{1} yet' -f $Label, $Store)
    }
    Add-Before -What ('{0} {1}' -f $Store, $Label) -Was 'absent'
    $Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Join-Path -Path $PSScriptRoot -ChildPath $File))
    $Opened = [System.Security.Cryptography.X509Certificates.X509Store]::new($Store, 'LocalMachine')
    $Opened.Open('ReadWrite')
    $Opened.Add($Certificate)
    $Opened.Close()
    if (-not (Test-Path -LiteralPath $InStore)) {
        throw ('Windows did not keep {0} in LocalMachine\{1}.' -f $File, $Store)
    }
    '{0} is in LocalMachine\{1} now' -f $Label, $Store
}

# Takes a certificate out of a store of the computer. LocalMachine\Root shows third-party roots, too,
# so what lies in both is there again after the first time; what a policy brings stays.
function Remove-Shown {
    param([string]$Store, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    foreach ($Time in @(1, 2)) {
        if (Test-Path -LiteralPath $InStore) {
            Remove-Item -LiteralPath $InStore
        }
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\{1}: something else brings it.' -f $Label, $Store)
    }
}

# Takes a certificate out of a store of the computer again, if install.ps1 had put it there.
function Remove-FromStore {
    param([string]$Store, [string]$Label)
    $What = '{0} {1}' -f $Store, $Label
    if ((Get-Before)[$What] -ne 'absent') {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Remove {0}' -f $Label))) {
        return ('{0} is still in LocalMachine\{1}' -f $Label, $Store)
    }
    Remove-Shown -Store $Store -Label $Label
    Remove-Before -What $What
    '{0} is no longer in LocalMachine\{1}' -f $Label, $Store
}

function Step-TrustRoot {
    foreach ($File in $CaFiles) {
        Add-ToStore -Store 'Root' -File $File -Label ($CaThumbprints[[array]::IndexOf($CaFiles, $File)])
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0

# With -Confirm this script asks once for each change, and no command in it asks again.
$ConfirmPreference = 'None'

try {
    Invoke-Step -In 'Check' -Name 'administrator' -Deed { Step-Administrator } -Remedy 'Open the 64-bit PowerShell with "Run as administrator" and start this script again.'
    Invoke-Step -In 'Check' -Name 'powershell' -Deed { Step-PowerShell } -Remedy 'Read the reason above.'
    Invoke-Step -In 'Check' -Name 'writable-folder' -Deed { Step-WritableFolder } -Remedy 'Copy the whole folder to a disk of this computer, for example to the desktop.'
    Invoke-Step -In 'Check' -Name 'right-computer' -Deed { Step-RightComputer } -Remedy 'Carry the folder to its own computer.'
    Invoke-Step -In 'Check' -Name 'right-time' -Deed { Step-RightTime } -Remedy 'Set the clock, then start this script again: a certificate is valid from one time to another.'
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Prepare' -Name 'trust-root' -Deed { Step-TrustRoot } -Remedy 'Look for a policy that forbids new roots, or let Group Policy bring this one.'
    if ($Failures.Count -gt 0) {
        throw ('This is left to do. {0}' -f ($Failures -join ' '))
    }
}
finally {
    Invoke-Inventory
}
