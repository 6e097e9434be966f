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

# AppLocker and Device Guard leave a script only a small part of the language.
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    throw 'This PowerShell runs in constrained language mode (AppLocker or Device Guard). Ask who answers for that policy to allow or sign this script, or do the steps of the page by hand.'
}

# inputs: begin
$ComputerName = 'vms-pc-01'
$Files = @('ca.cer', 'old-ca.cer', 'barred.cer', 'inventory.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', '1445E1FCEE88B53305F1E613AB72FB7895B5AABB8E79A841627D1D733AF6553A', '0449E6CF5202FAF0A1AA09431103A6242280A1426ECADE7BE25D91112250AD5C', '85B3319F96ED8578BD10B690FF4B48E6C334F98C42596EA5CAF8F404288A1D98')
$OldCaFiles = @('old-ca.cer')
$OldCaThumbprints = @('35D376E3A8C9DA2B2BFAF70B20B5E787F7AD5BE7')
$Made = '2026-11-26T22:00:00+00:00'
$BarredFiles = @('barred.cer')
$BarredThumbprints = @('9E93395F9E451086569C7A5492ECA55F4B840266')
$Thumbprint = ''
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

# Puts a certificate back into a store of the computer, if install.ps1 had taken it out.
function Restore-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $What = '{0} {1}' -f $Store, $Label
    if ((Get-Before)[$What] -ne 'present') {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    Add-ToStore -Store $Store -File $File -Label $Label
    $Back = Test-Path -LiteralPath ('Cert:\LocalMachine\{0}\{1}' -f $Store, $Label)
    if ($Back) {
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

# What could not be read -> why, and which file or program spoke of a group. The inventory tells both.
$Unread = @{}
$ToldBy = @{}

# The certificates that Windows itself serves HTTPS with: address, or host name, and port ->
# thumbprint. Both are found by their form: the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = [ordered]@{}
    $Place = ''
    $global:LASTEXITCODE = 0
    $Lines = @(netsh http show sslcert)
    foreach ($Line in $Lines) {
        if ($Line -match '\s(\S+:\d{1,5})\s*$') {
            $Place = $Matches[1]
        }
        elseif ($Place -and $Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Place] = $Matches[0].ToUpperInvariant()
        }
    }
    if ($global:LASTEXITCODE -ne 0 -and $Thumbprints.Count -eq 0) {
        throw ('netsh answered {0}: {1}' -f $global:LASTEXITCODE, ($Lines -join ' ').Trim())
    }
    $Thumbprints
}

# The same, or nothing where netsh could not be asked.
function Get-Https {
    try {
        Get-HttpCertificate
    }
    catch {
        $Unread['https'] = $_.Exception.GetBaseException().Message
    }
}

# The thumbprint served on a port: at this address if it is bound there, else at any.
function Get-PortCertificate {
    param($Https, [string]$Port, [string]$Address = '0.0.0.0')
    if ($null -eq $Https) {
        throw ('what Windows serves on port {0} could not be read: {1}' -f $Port, $Unread['https'])
    }
    $Wanted = '{0}:{1}' -f $Address, $Port
    if ($Https.Contains($Wanted)) {
        return $Https[$Wanted]
    }
    foreach ($Place in $Https.Keys) {
        if ($Place.EndsWith((':{0}' -f $Port))) {
            return $Https[$Place]
        }
    }
}

# A value in the registry of this computer, or nothing.
function Get-RegistryValue {
    param([string]$Key, [string]$Name)
    [Microsoft.Win32.Registry]::GetValue(('HKEY_LOCAL_MACHINE\SOFTWARE\{0}' -f $Key), $Name, $null)
}

# What an XProtect server wrote into its configuration file, or what it uses without one. The path
# ends at an attribute or at text(), whose value can be read. A file that is cut short is an error.
function Get-Setting {
    param([string]$Path, [string]$XPath, [string]$Default = '')
    if ($Path -and (Test-Path -LiteralPath $Path)) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            return $Found.Node.Value.Trim()
        }
    }
    $Default
}

# The configuration files of the XProtect servers. That of the mobile server lies beside its
# program, which the registry names, or names the folder of.
function Get-ConfigurationFile {
    $Mobile = [string](Get-RegistryValue -Key 'WOW6432Node\Milestone\XProtect Mobile Server' -Name 'INSTALLATIONFOLDER')
    if ($Mobile -and -not $Mobile.EndsWith('.exe')) {
        $Mobile = '{0}\VideoOS.MobileServer.Service.exe' -f $Mobile.TrimEnd('\', '/')
    }
    if ($Mobile) {
        $Mobile = '{0}.config' -f $Mobile
    }
    @{
        Management = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Management Server\ServerConfig.xml'
        Recording = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Recording Server\RecorderConfig.xml'
        Event = Join-Path -Path $env:ProgramData -ChildPath 'Milestone\XProtect Event Server\config\ServiceEndpoints.xml'
        Mobile = $Mobile
    }
}

# The certificate of the mobile server: its configuration says address and port.
function Get-MobileCertificate {
    param($Https, $Files)
    if ($Files.Mobile -and -not (Test-Path -LiteralPath $Files.Mobile)) {
        throw ('{0}, which the registry names, is not there' -f $Files.Mobile)
    }
    $Place = '/configuration/HttpSecureMetaChannel/Address/add[@key="{0}"]/@value'
    $Port = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Port') -Default '8082'
    $Address = Get-Setting -Path $Files.Mobile -XPath ($Place -f 'Ip') -Default '+'
    $ToldBy['mobile streaming media'] = 'http.sys, port {0}' -f $Port
    Get-PortCertificate -Https $Https -Port $Port -Address $Address.Replace('+', '0.0.0.0')
}

# A certificate in a configuration file of the recording server, by its element: nothing where the
# element is not there, 'off', a thumbprint, or 'unknown' where it is on and names none.
function Get-RecorderCertificate {
    param([string]$File, [string]$Element)
    $Enabled = Get-Setting -Path $File -XPath ('{0}/@enabled' -f $Element)
    $Hash = (Get-Setting -Path $File -XPath ('{0}/@certificateHash' -f $Element)) -replace '[^0-9A-Fa-f]', ''
    if ($Enabled -eq 'false') {
        return 'off'
    }
    if ($Hash) {
        return $Hash.ToUpperInvariant()
    }
    if ($Enabled -eq 'true') {
        return 'unknown'
    }
}

# The certificate that the recording server streams with.
function Get-MediaCertificate {
    param($Https, $Files)
    $ToldBy['streaming media'] = 'RecorderConfig.xml'
    Get-RecorderCertificate -File $Files.Recording -Element '/recorderconfig/webserver/encryption' | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the group server: Windows serves each of its services on a port, and the
# recording server has it in its configuration, too. Where they differ, nobody can say which one the
# group uses.
function Get-ServerCertificate {
    param($Https, $Files)
    $Told = [ordered]@{}
    $Said = Get-RecorderCertificate -File $Files.Recording -Element '//serverEncryption'
    if ($Said) {
        $Told['RecorderConfig.xml'] = $Said
    }
    $Recording = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/webapi/port/text()' -Default '9001'
    $Management = Get-Setting -Path $Files.Management -XPath '/server/WebApiConfig/Port/text()' -Default '9000'
    if ($null -ne $Https -or -not $Said -or (Test-Path -LiteralPath $Files.Management)) {
        foreach ($Port in @($Recording, $Management, '8990', '22337')) {
            $Found = Get-PortCertificate -Https $Https -Port $Port
            if ($Found) {
                $Told[('http.sys, port {0}' -f $Port)] = $Found
            }
        }
    }
    $ToldBy['server'] = @($Told.Keys | ForEach-Object -Process { '{0}: {1}' -f $_, $Told[$_] }) -join '; '
    $Named = @($Told.Values | Where-Object -FilterScript { $_ -ne 'unknown' } | Sort-Object -Unique)
    if ($Named.Count -gt 1 -or ($Named.Count -eq 0 -and $Told.Count -gt 0)) {
        return 'unknown'
    }
    $Named | Where-Object -FilterScript { $_ -ne 'off' }
}

# The certificate of the event server. Its configuration says whether it encrypts; with which one it
# says only where it names a thumbprint, or where Windows serves its port.
function Get-EventCertificate {
    param($Https, $Files)
    $ToldBy['event server'] = 'ServiceEndpoints.xml'
    $Enabled = Get-Setting -Path $Files.Event -XPath '//*[local-name()="CertificateEnabled"]/text()'
    if ($Enabled -ne 'true') {
        return
    }
    if ([System.IO.File]::ReadAllText($Files.Event) -match '\b[0-9A-Fa-f]{40}\b') {
        return $Matches[0].ToUpperInvariant()
    }
    $Found = Get-PortCertificate -Https $Https -Port '22331'
    if ($Found) {
        $ToldBy['event server'] = 'http.sys, port 22331'
        return $Found
    }
    'unknown'
}

# The certificates that the XProtect services really use: certificate group -> thumbprint, or
# 'unknown' where a service encrypts and does not say with which one, or where it can't be read.
function Get-CertificateInUse {
    $Unread.Clear()
    $ToldBy.Clear()
    $Https = Get-Https
    $Files = Get-ConfigurationFile
    $Looks = @{
        'server' = { Get-ServerCertificate -Https $Https -Files $Files }
        'streaming media' = { Get-MediaCertificate -Https $Https -Files $Files }
        'mobile streaming media' = { Get-MobileCertificate -Https $Https -Files $Files }
        'event server' = { Get-EventCertificate -Https $Https -Files $Files }
    }
    $InUse = @{}
    foreach ($Group in $Looks.Keys) {
        try {
            $Found = & $Looks[$Group]
        }
        catch {
            $Unread[$Group] = $_.Exception.GetBaseException().Message
            $Found = 'unknown'
        }
        if ($Found) {
            $InUse[$Group] = $Found
        }
        else {
            $ToldBy.Remove($Group)
        }
    }
    $InUse
}

# Why something could not be read, in brackets, or nothing.
function Get-Why {
    param([string]$What)
    if ($Unread.ContainsKey($What)) {
        ' ({0})' -f $Unread[$What]
    }
}

# The services of XProtect on this computer.
function Get-MilestoneService {
    Get-CimInstance -ClassName Win32_Service | Where-Object -FilterScript { ('{0} {1}' -f $_.Name, $_.DisplayName) -match 'Milestone|XProtect|VideoOS' }
}

# Where Server Configurator may lie, if it is not among the programs: beside the programs of XProtect,
# of which the services and the registry tell.
function Get-ConfiguratorPlace {
    $Programs = @(Get-MilestoneService | Where-Object -FilterScript { $_.PSObject.Properties['PathName'] } | ForEach-Object -Process { [string]$_.PathName })
    $Programs += '{0}\program.exe' -f [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Milestone\XProtect Mobile Server', 'INSTALLATIONFOLDER', '')
    foreach ($Program in $Programs) {
        if ($Program -match '^"?(.+)[\\/][^\\/"]+[\\/][^\\/"]+\.exe') {
            '{0}\Server Configurator\ServerConfigurator.exe' -f $Matches[1]
        }
    }
}

# The program of Server Configurator, or nothing.
function Search-Configurator {
    if (Test-Path -LiteralPath $env:ProgramFiles) {
        $Programs = Join-Path -Path $env:ProgramFiles -ChildPath '*\Server Configurator\ServerConfigurator.exe'
        foreach ($Program in @(Get-ChildItem -Path $Programs)) {
            return $Program
        }
    }
    foreach ($Place in @(Get-ConfiguratorPlace)) {
        if (Test-Path -LiteralPath $Place) {
            return Get-Item -LiteralPath $Place
        }
    }
}

# The same, looked for no more once it is found: a visit asks dozens of times.
$Configurator = $null
function Find-Configurator {
    if (-not $Configurator) {
        $script:Configurator = Search-Configurator
    }
    $Configurator
}

# Whether anything of XProtect is installed here; what can't be looked at counts as installed.
function Test-Installed {
    try {
        (Find-Configurator) -or @(Get-MilestoneService).Count -gt 0
    }
    catch {
        $true
    }
}

# What else of this computer may use a certificate of LocalMachine\My: what -> thumbprint.
function Get-OtherUse {
    $Uses = @{}
    $Desktop = [Microsoft.Win32.Registry]::GetValue('HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp', 'SSLCertificateSHA1Hash', $null)
    if ($Desktop -is [byte[]]) {
        $Uses['Remote Desktop'] = [System.BitConverter]::ToString($Desktop).Replace('-', '')
    }
    $Sql = 'HKLM:\SOFTWARE\Microsoft\Microsoft SQL Server'
    if (Test-Path -LiteralPath $Sql) {
        foreach ($Instance in @(Get-ChildItem -LiteralPath $Sql)) {
            $Key = 'Microsoft\Microsoft SQL Server\{0}\MSSQLServer\SuperSocketNetLib' -f $Instance.PSChildName
            $Uses[('SQL Server {0}' -f $Instance.PSChildName)] = [string](Get-RegistryValue -Key $Key -Name 'Certificate')
        }
    }
    $Listeners = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Listener'
    if (Test-Path -LiteralPath $Listeners) {
        foreach ($Listener in @(Get-ChildItem -LiteralPath $Listeners)) {
            $Key = 'Microsoft\Windows\CurrentVersion\WSMAN\Listener\{0}' -f $Listener.PSChildName
            $Uses[('WinRM {0}' -f $Listener.PSChildName)] = [string](Get-RegistryValue -Key $Key -Name 'certThumbprint')
        }
    }
    $Uses
}

# Everything that uses a certificate here, as far as can be seen: what -> thumbprint, or 'unknown'.
# Of an XProtect that is not installed any more only files are left, which use nothing.
function Get-Use {
    $Uses = @{}
    $InUse = Get-CertificateInUse
    if (Test-Installed) {
        foreach ($Group in $InUse.Keys) {
            $Uses[$Group] = $InUse[$Group]
        }
    }
    $Https = Get-Https
    if ($null -eq $Https) {
        $Uses['what Windows serves by HTTPS'] = 'unknown'
    }
    else {
        foreach ($Place in $Https.Keys) {
            $Uses[$Place] = $Https[$Place]
        }
    }
    try {
        $Others = Get-OtherUse
        foreach ($What in $Others.Keys) {
            $Uses[$What] = ($Others[$What] -replace '[^0-9A-Fa-f]', '').ToUpperInvariant()
        }
    }
    catch {
        $Uses[('what else uses certificates ({0})' -f $_.Exception.GetBaseException().Message)] = 'unknown'
    }
    $Uses
}

# What uses a certificate, or may do so because it does not say what it uses; without the groups of
# which a person says that they do not.
function Get-UserOf {
    param([string]$Label, [string[]]$ByHand = @())
    $Uses = Get-Use
    foreach ($What in @($Uses.Keys | Sort-Object)) {
        if ($Uses[$What] -eq $Label) {
            '{0} uses it' -f $What
        }
        elseif ($Uses[$What] -eq 'unknown' -and $ByHand -notcontains $What) {
            '{0} does not say what it uses{1}' -f $What, (Get-Why -What $What)
        }
    }
}

# The certificates that may be in use here and are one of those carried, or are issued below one.
# Where something does not say what it uses, it may be any certificate with a private key.
function Get-UsedBelow {
    param([string[]]$Carried, [string[]]$Labels, [string[]]$ByHand = @())
    $Uses = Get-Use
    $InUse = @($Uses.Keys | Where-Object -FilterScript { $ByHand -notcontains $_ -or $Uses[$_] -ne 'unknown' } | ForEach-Object -Process { $Uses[$_] })
    foreach ($Certificate in @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My')) {
        $Unsaid = $InUse -contains 'unknown' -and $Certificate.HasPrivateKey
        if ($InUse -contains $Certificate.Thumbprint -or $Unsaid) {
            $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
            $Chain.ChainPolicy.RevocationMode = 'NoCheck'
            foreach ($File in $Carried) {
                $One = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Join-Path -Path $PSScriptRoot -ChildPath $File))
                $null = $Chain.ChainPolicy.ExtraStore.Add($One)
            }
            $null = $Chain.Build($Certificate)
            foreach ($Element in $Chain.ChainElements) {
                if ($Labels -contains $Element.Certificate.Thumbprint) {
                    $Certificate.Thumbprint
                }
            }
        }
    }
}

# Looks before anything is taken away. A CA stays while something here may use a certificate that it
# issued, and the certificate while something may use it; what was here before install.ps1 stays anyway.
function Step-NotInUse {
    $Before = Get-Before
    $Seen = @($ByHand.Split(',').Trim())
    $Brought = $Before[('My {0}' -f $Thumbprint)] -eq 'absent' -or @($Before.Keys | Where-Object -FilterScript { $_ -like 'Reader *' }).Count -gt 0
    if ($Thumbprint -and $Brought -and (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        $Users = @(Get-UserOf -Label $Thumbprint -ByHand $Seen)
        if ($Users.Count -gt 0) {
            throw ('{0} stays, and so does its CA, since it may be in use: {1}.' -f $Thumbprint, ($Users -join '; '))
        }
    }
    $Ours = @($CaThumbprints | Where-Object -FilterScript { $Before[('Root {0}' -f $_)] -eq 'absent' })
    if ($Ours.Count -gt 0) {
        foreach ($Used in @(Get-UsedBelow -Carried $CaFiles -Labels $Ours -ByHand $Seen)) {
            throw ('The CA stays, since {0}, which it issued, may be in use.' -f $Used)
        }
    }
    'nothing here uses what is to go. Not seen from here: whether another server that this computer calls still has a certificate of this CA; the plan says when it is the turn of this computer'
}

function Step-UndoTrust {
    foreach ($Label in $CaThumbprints) {
        Remove-FromStore -Store 'Root' -Label $Label
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
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Off|Remove' -Name 'undo-root-removal' -Deed { Step-UndoRootRemoval } -Remedy 'Import old-ca.cer by hand into Trusted Root Certification Authorities of the computer.'
    Invoke-Step -In 'Remove' -Name 'undo-barring' -Deed { Step-UndoBarring } -Remedy 'Remove it in mmc, Certificates (Local Computer), Untrusted Certificates.'
    Invoke-Step -In 'Remove' -Name 'not-in-use' -Deed { Step-NotInUse } -Remedy 'Run undo.ps1 -Phase Off first, when the plan says so; anything that is not XProtect is given another certificate, or none, in its own settings. Where a group does not say what it uses, look in Server Configurator, then run this again with -ByHand and its name.'
    Invoke-Step -In 'Remove' -Name 'undo-trust' -Deed { Step-UndoTrust } -Remedy 'What a policy brings goes out of the policy; then run undo.ps1 again.'
    if ($Failures.Count -gt 0) {
        throw ('This is left to do. {0}' -f ($Failures -join ' '))
    }
}
finally {
    Invoke-Inventory
}
