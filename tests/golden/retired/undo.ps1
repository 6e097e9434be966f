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
$ComputerName = 'vms-pc-01'
$Files = @('ca.cer', 'old-ca.cer', 'barred.cer', 'inventory.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', '1445E1FCEE88B53305F1E613AB72FB7895B5AABB8E79A841627D1D733AF6553A', '0449E6CF5202FAF0A1AA09431103A6242280A1426ECADE7BE25D91112250AD5C', 'F76843BE6A777F71F4CFB6281B621B3E9E7860B70CCC09D9BC56C4BC05FB9074')
$OldCaFiles = @('old-ca.cer')
$OldCaThumbprints = @('35D376E3A8C9DA2B2BFAF70B20B5E787F7AD5BE7')
$BarredFiles = @('barred.cer')
$BarredThumbprints = @('9E93395F9E451086569C7A5492ECA55F4B840266')
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
# inputs: end

$Phases = @('Check', 'Undo')

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

# Puts a certificate back into a store of the computer, if install.ps1 had taken it out.
function Restore-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $What = '{0} {1}' -f $Store, $Label
    if ((Get-Before)[$What] -ne 'present') {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    Add-ToStore -Store $Store -File $File -Label $Label
    $Back = Test-Path -LiteralPath ('Cert:\LocalMachine\{0}\{1}' -f $Store, $Label)
    if ($Back -and -not $WhatIfPreference) {
        Remove-Before -What $What
    }
}

function Step-UndoRootRemoval {
    foreach ($File in $OldCaFiles) {
        Restore-ToStore -Store 'Root' -File $File -Label ($OldCaThumbprints[[array]::IndexOf($OldCaFiles, $File)])
    }
}

function Step-UndoBarring {
    foreach ($File in $BarredFiles) {
        $Label = $BarredThumbprints[[array]::IndexOf($BarredFiles, $File)]
        Remove-FromStore -Store 'Disallowed' -Label $Label
        Restore-ToStore -Store 'Root' -File $File -Label $Label
    }
}

function Step-UndoTrust {
    foreach ($Label in $CaThumbprints) {
        Remove-FromStore -Store 'Root' -Label $Label
    }
}

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0

try {
    Invoke-Step -In 'Check' -Name 'administrator' -Deed { Step-Administrator } -Remedy 'Open the 64-bit PowerShell with "Run as administrator" and start this script again.'
    Invoke-Step -In 'Check' -Name 'writable-folder' -Deed { Step-WritableFolder } -Remedy 'Copy the whole folder to a disk of this computer, for example to the desktop.'
    Invoke-Step -In 'Check' -Name 'right-computer' -Deed { Step-RightComputer } -Remedy 'Carry the folder to its own computer.'
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Undo' -Name 'undo-root-removal' -Deed { Step-UndoRootRemoval } -Remedy 'Import old-ca.cer by hand into Trusted Root Certification Authorities of the computer.'
    Invoke-Step -In 'Undo' -Name 'undo-barring' -Deed { Step-UndoBarring } -Remedy 'Remove it in mmc, Certificates (Local Computer), Untrusted Certificates.'
    Invoke-Step -In 'Undo' -Name 'undo-trust' -Deed { Step-UndoTrust } -Remedy 'Remove it in mmc, Certificates (Local Computer), Trusted Root Certification Authorities.'
}
finally {
    Invoke-Inventory
}
