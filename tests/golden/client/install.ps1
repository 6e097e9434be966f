<#
.SYNOPSIS
    Prepares this computer for encrypted XProtect communication, step by step.
.DESCRIPTION
    The page README.html beside this script lists every step with what it changes, how it ends and
    how to undo it. Each step looks first: what is there already stays as it is, so the script can
    run twice without harm. It notes how things were (before.json, for undo.ps1), writes what it did
    into log.jsonl, and ends with an inventory: one file, named after the computer and .json. Bring
    that file back.
.PARAMETER Phase
    Prepare (the default) brings the CA certificate, and to a server its own. Encrypt switches
    encryption on. Retire removes certificates and CAs that were replaced, and bars those whose key
    was stolen. Both only when the plan says that it is their turn.
.PARAMETER Turn
    Where other computers have their turn in between, Encrypt takes several visits: 1, 2 and so on.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File install.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param(
    [ValidateSet('Prepare', 'Encrypt', 'Retire')]
    [string]$Phase = 'Prepare',
    [ValidateRange(1, 9)]
    [int]$Turn = 1
)

# inputs: begin
$ComputerName = 'vms-pc-01'
$Made = '2026-11-26T22:00:00+00:00'
$ClockSource = 'vms-ms-01.example.local'
$Files = @('ca.cer', 'inventory.ps1', 'undo.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', 'F76843BE6A777F71F4CFB6281B621B3E9E7860B70CCC09D9BC56C4BC05FB9074', '6BD80976547C24AAAFBB8B644DE7777A02E3C018DA70A51347B11B19C35B1CB3')
$CaFiles = @('ca.cer')
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
# inputs: end

$Phases = @('Check', $Phase)

# One line of the log, which the inventory brings back. Nothing fails for want of it.
function Add-LogLine {
    param([string]$Step, [string]$Result, [string]$Detail)
    if ($WhatIfPreference) {
        return
    }
    $Line = [ordered]@{
        at = [System.DateTime]::UtcNow.ToString('s') + 'Z'
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

# Runs one step if this phase has it, and says how it ended. A step that fails ends the script; what
# it had done by then is told, too.
function Invoke-Step {
    param([string]$In, [string]$Name, [scriptblock]$Deed, [string]$Remedy)
    if ($Phases -notcontains $In) {
        return
    }
    $Said = [System.Collections.ArrayList]::new()
    try {
        & $Deed | ForEach-Object -Process { $null = $Said.Add($_) }
    }
    catch {
        $Detail = @($Said) + @($_.Exception.GetBaseException().Message) -join '; '
        Add-LogLine -Step $Name -Result 'failed' -Detail $Detail
        throw ('Step {0}: {1} What to do: {2}' -f $Name, $Detail, $Remedy)
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
    try {
        & (Join-Path -Path $PSScriptRoot -ChildPath 'inventory.ps1')
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

function Step-WritableFolder {
    if ($WhatIfPreference) {
        return 'it is not tried whether this folder can be written to'
    }
    [System.IO.File]::AppendAllText((Join-Path -Path $PSScriptRoot -ChildPath 'log.jsonl'), '')
    'this folder can be written to'
}

function Step-RightComputer {
    $Names = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
    if ($Names -notcontains $ComputerName.Split('.')[0]) {
        throw ('This folder is for {0}, but this computer is {1}.' -f $ComputerName, $env:COMPUTERNAME)
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

# What install.ps1 noted before it changed something: what -> how it was.
function Get-Before {
    $Noted = @{}
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    if (Test-Path -LiteralPath $Path) {
        $Json = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($Path))
        foreach ($Property in $Json.PSObject.Properties) {
            $Noted[$Property.Name] = [string]$Property.Value
        }
    }
    $Noted
}

# Forgets how something was, once it is so again.
function Remove-Before {
    param([string]$What)
    $Noted = Get-Before
    $Noted.Remove($What)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
    [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
}

# Notes how something was, once: a second run must not take its own change for the old state.
function Add-Before {
    param([string]$What, [string]$Was)
    $Noted = Get-Before
    if (-not $Noted.ContainsKey($What)) {
        $Noted[$What] = $Was
        $Path = Join-Path -Path $PSScriptRoot -ChildPath 'before.json'
        [System.IO.File]::WriteAllText($Path, (ConvertTo-Json -InputObject $Noted))
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

# Takes a certificate out of a store of the computer again, if install.ps1 had put it there.
function Remove-FromStore {
    param([string]$Store, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    if ((Get-Before)['{0} {1}' -f $Store, $Label] -ne 'absent' -or -not (Test-Path -LiteralPath $InStore)) {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Remove {0}' -f $Label))) {
        return ('{0} is still in LocalMachine\{1}' -f $Label, $Store)
    }
    Remove-Item -LiteralPath $InStore
    Remove-Before -What ('{0} {1}' -f $Store, $Label)
    '{0} is no longer in LocalMachine\{1}' -f $Label, $Store
}

function Step-TrustRoot {
    foreach ($File in $CaFiles) {
        Add-ToStore -Store 'Root' -File $File -Label ($CaThumbprints[[array]::IndexOf($CaFiles, $File)])
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0

try {
    Invoke-Step -In 'Check' -Name 'administrator' -Deed { Step-Administrator } -Remedy 'Open the 64-bit PowerShell with "Run as administrator" and start this script again.'
    Invoke-Step -In 'Check' -Name 'writable-folder' -Deed { Step-WritableFolder } -Remedy 'Copy the whole folder to a disk of this computer, for example to the desktop.'
    Invoke-Step -In 'Check' -Name 'right-computer' -Deed { Step-RightComputer } -Remedy 'Carry the folder to its own computer.'
    Invoke-Step -In 'Check' -Name 'right-time' -Deed { Step-RightTime } -Remedy 'Set the clock, then start this script again: a certificate is valid from one time to another.'
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Prepare' -Name 'trust-root' -Deed { Step-TrustRoot } -Remedy 'Look for a policy that forbids new roots, or let Group Policy bring this one.'
}
finally {
    Invoke-Inventory
}
