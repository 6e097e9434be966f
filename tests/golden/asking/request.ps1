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

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$ComputerName = 'vms-rec-01'
$Made = '2026-11-26T22:00:00+00:00'
$ClockSource = 'vms-ms-01.example.local'
$Files = @('ca.cer', 'inventory.ps1', 'undo.ps1', 'request.inf')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', 'CAAD3F14C33AD87B89B4C53C18706271B55739E4DD4B2B7586A39A5C95FE4A20', '76AB79D416EC6097F5917D72A8F4DB782E74E960C99717D9607224BABCAC05BC', 'CED334AC2450E0058883DDDB08002C68017B3B29E1EC548220703D769AF643D2')
$RequestFile = 'vms-rec-01.req'
# inputs: end

$Phases = @('Check', 'Request')

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

# A second request would make a second key, and leave the certificate that comes back without one.
function Step-MakeRequest {
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $RequestFile
    if (Test-Path -LiteralPath $Path) {
        return Get-Waiting -Path $Path
    }
    if (-not $PSCmdlet.ShouldProcess($ComputerName, 'Make a private key and a request')) {
        return ('{0} is not there yet' -f $RequestFile)
    }
    $New = '{0}.new' -f $Path
    [System.IO.File]::Delete($New)
    $Answer = @(certreq -new -q -machine (Join-Path -Path $PSScriptRoot -ChildPath 'request.inf') $New) -join ' '
    if (-not (Test-Path -LiteralPath $New)) {
        throw ('Windows made no request: {0}.' -f $Answer)
    }
    [System.IO.File]::Move($New, $Path)
    '{0} is made; its private key stays on {1}' -f $RequestFile, $ComputerName
}

# Tells of the private key that waits for the answer to a request: the request holds its public half.
function Get-Waiting {
    param([string]$Path)
    $Text = [System.IO.File]::ReadAllText($Path) -replace '-----[^-]+-----', '' -replace '\s', ''
    $Request = [System.BitConverter]::ToString([System.Convert]::FromBase64String($Text))
    foreach ($Store in @('REQUEST', 'My')) {
        try {
            $Held = @(Get-ChildItem -LiteralPath ('Cert:\LocalMachine\{0}' -f $Store))
        }
        catch {
            return ('{0} is there already; whether its private key waits could not be read: {1}' -f $RequestFile, $_.Exception.GetBaseException().Message)
        }
        foreach ($Certificate in $Held) {
            $Public = [System.BitConverter]::ToString($Certificate.PublicKey.EncodedKeyValue.RawData)
            if ($Certificate.HasPrivateKey -and $Request.Contains($Public)) {
                return ('{0} is there already, and its private key is in LocalMachine\{1}' -f $RequestFile, $Store)
            }
        }
    }
    throw ('{0} is there, but no private key on {1} belongs to it. What to do: delete {0}, then run this script again: it makes another key and another request.' -f $RequestFile, $ComputerName)
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
    Invoke-Step -In 'Request' -Name 'make-request' -Deed { Step-MakeRequest } -Remedy 'Read the answer of certreq above; the lines of request.inf say what was asked for.'
    if ($Failures.Count -gt 0) {
        throw ('This is left to do. {0}' -f ($Failures -join ' '))
    }
}
finally {
    Invoke-Inventory
}
