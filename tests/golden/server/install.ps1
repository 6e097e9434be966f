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
$ComputerName = 'vms-rec-01'
$Made = '2026-11-26T22:00:00+00:00'
$ClockSource = 'vms-ms-01.example.local'
$Windows = 'Windows Server 2022'
$LeastBuild = '16299'
$PfxFile = 'vms-rec-01.pfx'
$Thumbprint = '3ED70FB4C4312B542736CE47F1FB61E13F82318A'
$Files = @('ca.cer', 'inventory.ps1', 'undo.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', 'CAAD3F14C33AD87B89B4C53C18706271B55739E4DD4B2B7586A39A5C95FE4A20', '89B9320C997B960302109A75E378191A0D363C6F9D2F99F69D0E8A1DEA001282')
$NotBefore = '2026-03-01T09:00:00+00:00'
$NamePrefix = 'VMS vms-rec-01.example.local until '
$CaFiles = @('ca.cer')
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
$PfxHash = '085C05CCB7170EABD6035C593C6763BFB1875B17D063EE2D9046CA8E234FBD59'
$FriendlyName = 'VMS vms-rec-01.example.local until 2036-03-01'
$Accounts = @('EXAMPLE\svc-vms$')
$Services = @('Milestone XProtect Recording Server')
$Groups = @('server', 'streaming media')
$GroupIds = @('84430eb7-847c-422d-aa00-7915cd0d7a65', '549df21d-047c-456b-958e-99e65dd8b3ec')
$GroupReleases = @('2020 R3', '2020 R3')
$Turns = @('1', '1')
$Superseded = @('0123456789ABCDEF0123456789ABCDEF01234567')
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

# Whether the private key of a certificate opens. Windows calls it there, too, when its file is gone.
function Test-KeyOpens {
    param($Certificate)
    if (-not $Certificate.HasPrivateKey) {
        return $false
    }
    try {
        $null -ne [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($Certificate)
    }
    catch {
        $false
    }
}

# Whether LocalMachine\My holds a certificate with a private key that opens.
function Test-Held {
    param([string]$Label)
    $InStore = 'Cert:\LocalMachine\My\{0}' -f $Label
    (Test-Path -LiteralPath $InStore) -and (Test-KeyOpens -Certificate (Get-Item -LiteralPath $InStore))
}

function Step-RightWindows {
    if (Test-Held -Label $Thumbprint) {
        return 'the PFX file is imported already'
    }
    $Build = [System.Environment]::OSVersion.Version.Build
    if ($Build -lt [int]$LeastBuild) {
        throw ('Windows build {0} of {1} can not open this PFX file, which was made for {2}: it would call the password wrong.' -f $Build, $ComputerName, $Windows)
    }
    try {
        $null = Get-Command -Name 'Import-PfxCertificate'
    }
    catch {
        throw ('Windows build {0} of {1} has no command to import a PFX file (Windows 7 and Server 2008 R2 have none). What to do: import {2} by hand, in mmc, Certificates (Local Computer), Personal, then run this script again.' -f $Build, $ComputerName, $PfxFile)
    }
    'Windows build {0} can open the PFX file' -f $Build
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

function Step-NewestCertificate {
    $Mine = [System.DateTimeOffset]::Parse($NotBefore, [System.Globalization.CultureInfo]::InvariantCulture).UtcDateTime
    foreach ($Certificate in @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My')) {
        if ($Certificate.FriendlyName.StartsWith($NamePrefix) -and $Certificate.NotBefore.ToUniversalTime() -gt $Mine) {
            throw ('A newer certificate is here already: {0}, {1}.' -f $Certificate.FriendlyName, $Certificate.Thumbprint)
        }
    }
    'no newer certificate is here'
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

# What the exit codes of Server Configurator mean, as far as anybody has written it down:
# https://github.com/milestonesys/MilestonePSTools/blob/main/MilestonePSTools/Public/Tools/Invoke-ServerConfigurator.ps1
# https://github.com/tbalaz/MilestoneRecorderCertManager
# https://github.com/MilestoneSystemsInc/PowerShellSamples/issues/142
$Meanings = @{
    '0' = 'it reports success'
    '-1' = 'an unknown error. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    '-2' = 'it does not know these arguments. Check that its version is 2020 R3 or later'
    '-3' = 'it refuses the value of an argument. Compare thumbprint and group with the table'
    '-4' = 'another Server Configurator is running, or this computer does not trust the certificate. Let the other one end, let install.ps1 trust the CA, then run this again'
    '1' = 'it refused and changed nothing. Encrypt the event server first, then the management server, then the recording servers (second hand)'
    '20' = 'the event server uses the certificate, but the management server does not know it. Register it on the page Registering servers, or run this again (second hand)'
    '50' = 'a service can not read the private key. Run install.ps1, which gives access, then run this again'
    '100' = 'the certificate is in use, but the management server did not accept the registration. Run this again as a member of the role Administrators of XProtect (second hand)'
    '10000' = 'a Milestone service could not be stopped. Stop it by hand, then run this again (second hand)'
    '20000' = 'a Milestone service could not be stopped. Stop it by hand, then run this again (second hand)'
    '100000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server, then run this again (second hand)'
    '300000' = 'the certificate is in use, but the registration failed. Compare the names in the certificate with the registered address of the management server, then run this again (second hand)'
    '200000' = 'a code without a published meaning, seen in runs that had worked (second hand)'
}

# What they mean where encryption is switched off, if that is something else.
$MeaningsOff = @{
    '-4' = 'another Server Configurator is running. Let it end, then run this again'
    '1' = 'it refused and changed nothing. Switch the management server off first, then the recording servers, then the event server; or there is nothing to switch off (second hand)'
    '100' = 'nothing is encrypted any more, but the management server did not accept the registration. Run this again as a member of the role Administrators of XProtect (second hand)'
    '100000' = 'nothing is encrypted any more, but the registration failed. Look whether the management server runs, then run this again (second hand)'
    '300000' = 'nothing is encrypted any more, but the registration failed. Look whether the management server runs, then run this again (second hand)'
}

# How a run ended by these codes; any other may have left anything behind.
$Endings = @{
    '0' = 'done'
    '-1' = 'not bound'
    '-2' = 'not bound'
    '-3' = 'not bound'
    '-4' = 'not bound'
    '1' = 'not bound (second hand)'
    '20' = 'bound, not registered (second hand)'
    '50' = 'not bound'
    '100' = 'bound, not registered (second hand)'
    '10000' = 'not bound (second hand)'
    '20000' = 'not bound (second hand)'
    '100000' = 'bound, not registered (second hand)'
    '300000' = 'bound, not registered (second hand)'
    '200000' = 'done (second hand)'
}

# Whether a certificate group names the certificate that it uses:
# MilestonePSTools Set-XProtectCertificate.ps1
# MilestonePSTools Set-XProtectCertificate.ps1; hardening guide, version history; its name in the window: MilestoneSystemsInc/PowerShellSamples issue 69; no binding: community tool MilestoneRecorderCertManager; that its configuration names no certificate: community tool MilestoneRecorderCertManager
$NamesIt = @{
    'server' = 'yes'
    'streaming media' = 'yes'
    'mobile streaming media' = 'yes'
    'event server' = 'no (second hand)'
}

# Whether this computer trusts a certificate of LocalMachine\My itself.
function Test-Trusted {
    param([string]$Label)
    $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
    $Chain.ChainPolicy.RevocationMode = 'NoCheck'
    $Chain.Build((Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Label)))
}

# Runs Server Configurator to its end, which may take 20 minutes: exit code and text.
function Invoke-ServerConfigurator {
    param([string]$Arguments)
    $Program = Find-Configurator
    if (-not $Program) {
        throw 'Server Configurator is not installed here: neither among the programs nor beside those of XProtect. What to do: install the XProtect server first, or carry the folder to the computer where it is.'
    }
    $Version = [version]('{0}.{1}' -f $Program.VersionInfo.FileMajorPart, $Program.VersionInfo.FileMinorPart)
    if ($Version -lt [version]'20.3') {
        throw ('Server Configurator {0} has no command line: it came with 2020 R3 (20.3). What to do: switch the group in its window.' -f $Version)
    }
    $Start = [System.Diagnostics.ProcessStartInfo]::new($Program.FullName, $Arguments)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [System.Diagnostics.Process]::Start($Start)
    $Reading = $Process.StandardOutput.ReadToEndAsync()
    $Until = [System.DateTime]::UtcNow.AddMinutes(20)
    while (-not $Process.WaitForExit(15000)) {
        if ([System.DateTime]::UtcNow -ge $Until) {
            throw 'Server Configurator still works after 20 minutes. What to do: let it end, then run this script again.'
        }
        Write-Host -Object 'Server Configurator works. It may take 20 minutes: leave this window open.'
    }
    $Text = ''
    if ($Reading.Wait(5000)) {
        $Text = $Reading.Result
    }
    @{
        Code = [string]$Process.ExitCode
        Text = $Text
    }
}

# What an exit code means, in the direction in which encryption was switched.
function Get-Meaning {
    param([string]$Code, [string]$Label)
    if (-not $Label -and $MeaningsOff[$Code]) {
        return $MeaningsOff[$Code]
    }
    if ($Meanings.ContainsKey($Code)) {
        return $Meanings[$Code]
    }
    'a code that nobody has explained. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
}

# The certificate groups that this computer has, as Server Configurator lists them.
function Get-GroupList {
    $Run = Invoke-ServerConfigurator -Arguments '/listcertificategroups'
    if ($Run.Code -ne '0') {
        throw ('Server Configurator could not list its groups and answered {0}: {1}.' -f $Run.Code, (Get-Meaning -Code $Run.Code -Label 'none'))
    }
    $Run.Text
}

# What a certificate group uses, in words.
function Get-Used {
    param([string]$Label)
    if ($Label -eq 'unknown') {
        return 'a certificate that it does not name'
    }
    if ($Label) {
        return $Label
    }
    'no certificate'
}

# What a certificate group uses now: thumbprint, nothing or 'unknown'.
function Get-GroupCertificate {
    param([string]$Group)
    '{0}' -f (Get-CertificateInUse)[$Group]
}

# What this kit gave to a group that encrypts and does not say with which certificate; else nothing.
# What can't be read, or contradicts itself, is not that.
function Get-Given {
    param([string]$Group, [string]$Now)
    if ($Now -eq 'unknown' -and $NamesIt[$Group] -ne 'yes' -and -not $Unread.ContainsKey($Group)) {
        '{0}' -f (Read-Note)[('given {0}' -f $Group)]
    }
}

# Whether a group uses a certificate, or none when the label is empty.
function Test-Uses {
    param([string]$Group, [string]$Label)
    $Now = Get-GroupCertificate -Group $Group
    ($Now -eq $Label -and $Now -ne 'unknown') -or ($Label -and (Get-Given -Group $Group -Now $Now) -eq $Label)
}

# The minutes that services get to start again: a management server takes long.
function Get-Patience {
    if (Test-Path -LiteralPath (Get-ConfigurationFile).Management) {
        return 10
    }
    2
}

# Waits until something is so, and says every 15 seconds what for; tells whether it became so.
# Services that restart say nothing for a while.
function Wait-Until {
    param([string]$What, [scriptblock]$Test)
    $Minutes = Get-Patience
    $Until = [System.DateTime]::UtcNow.AddMinutes($Minutes)
    $Rounds = 0
    while (-not (& $Test)) {
        if ([System.DateTime]::UtcNow -ge $Until) {
            return $false
        }
        if ($Rounds % 3 -eq 0) {
            Write-Host -Object ('Waiting until {0}, for {1} minutes at most.' -f $What, $Minutes)
        }
        $Rounds = $Rounds + 1
        [System.Threading.Thread]::Sleep(5000)
    }
    $true
}

# The services of XProtect, and the web server that it uses, which run now.
function Get-RunningService {
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        $Ours = ('{0} {1}' -f $Service.Name, $Service.DisplayName) -match 'Milestone|XProtect|VideoOS' -or @('W3SVC', 'WAS') -contains $Service.Name
        if ($Ours -and $Service.State -eq 'Running') {
            $Service.Name
        }
    }
}

# Those of these services that do not run.
function Get-Stopped {
    param([string[]]$Names)
    Get-CimInstance -ClassName Win32_Service | Where-Object -FilterScript { $Names -contains $_.Name -and $_.State -ne 'Running' }
}

# Lets services run again that ran before Server Configurator stopped them; names those that do not.
function Restore-Service {
    $Noted = '{0}' -f (Read-Note)['running services']
    if (-not $Noted -or $WhatIfPreference) {
        return
    }
    $Names = $Noted.Split('|')
    $Run = {
        foreach ($Service in @(Get-Stopped -Names $Names)) {
            try {
                Start-Service -Name $Service.Name
            }
            catch {
                $null = $_
            }
        }
        @(Get-Stopped -Names $Names).Count -eq 0
    }
    if (Wait-Until -What 'the services run again' -Test $Run) {
        Remove-Note -What 'running services'
    }
    Get-Stopped -Names $Names | ForEach-Object -Process { $_.Name }
}

# Stops where services that ran before do not run.
function Assert-Running {
    $Stopped = @(Restore-Service)
    if ($Stopped.Count -gt 0) {
        throw ('These services ran before and do not start: {0}. What to do: read the event log, start them, then run this script again.' -f ($Stopped -join ', '))
    }
}

# Stops for SYSTEM, and tells anybody else what XProtect will ask.
function Assert-Person {
    $System = $false
    try {
        $System = [System.Security.Principal.WindowsIdentity]::GetCurrent().IsSystem
    }
    catch {
        $null = $_
    }
    if ($System) {
        throw 'SYSTEM runs this script, and XProtect does not let it register a server. What to do: run it as a person who is in the role Administrators of XProtect.'
    }
    Write-Host -Object ('Server Configurator registers as {0}\{1}, who has to be in the role Administrators of XProtect.' -f $env:USERDOMAIN, $env:USERNAME)
}

# What may keep the management server from being switched, where it can be seen, or nothing.
function Get-Override {
    $Files = Get-ConfigurationFile
    try {
        $Address = Get-Setting -Path $Files.Recording -XPath '/recorderconfig/server/address/text()'
    }
    catch {
        return
    }
    $Here = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName(), 'localhost', '127.0.0.1')
    if ($Address -and (Test-Path -LiteralPath $Files.Management) -and $Here -notcontains $Address.Split('.')[0] -and $Here -notcontains $Address) {
        ' The recording server here is registered at {0}, though this computer has a management server: if somebody registered it with /overridelocalmanagementserver, undo that on the page Registering servers.' -f $Address
    }
}

# Registers this computer where a run before could switch the group, but not register it.
function Complete-Registration {
    param([string]$Group, [string]$Label)
    $Open = '{0}' -f (Read-Note)[('unregistered {0}' -f $Group)]
    if (-not $Open) {
        return ('{0} uses {1} already' -f $Group, (Get-Used -Label $Label))
    }
    if (-not $PSCmdlet.ShouldProcess($Group, 'ServerConfigurator.exe /quiet /register')) {
        return ('{0} uses {1}, but is not registered yet' -f $Group, (Get-Used -Label $Label))
    }
    $Run = Invoke-ServerConfigurator -Arguments '/quiet /register'
    if ($Endings[$Run.Code] -notlike 'done*') {
        throw ('{0} uses {1}, but Server Configurator answered {2} to /register: {3}.' -f $Group, (Get-Used -Label $Label), $Run.Code, (Get-Meaning -Code $Run.Code -Label $Label))
    }
    Remove-Note -What ('unregistered {0}' -f $Group)
    '{0} uses {1} and is registered now' -f $Group, (Get-Used -Label $Label)
}

# Notes with which code the registration of a group ended and is open, or that none is open.
function Set-Open {
    param([string]$Group, [string]$Code)
    if ($Code) {
        Set-Note -What ('unregistered {0}' -f $Group) -Value $Code
    }
    else {
        Remove-Note -What ('unregistered {0}' -f $Group)
    }
}

# Lets a certificate group use a certificate, or none when the label is empty, and reads back what
# the servers really use. The exit code is not believed.
function Set-GroupCertificate {
    param([string]$Group, [string]$Id, [string]$Label)
    if (Test-Uses -Group $Group -Label $Label) {
        return Complete-Registration -Group $Group -Label $Label
    }
    $Arguments = '/quiet /enableencryption /certificategroup={0} /thumbprint={1}' -f $Id, $Label
    if (-not $Label) {
        $Arguments = '/quiet /disableencryption /certificategroup={0}' -f $Id
    }
    if (-not $PSCmdlet.ShouldProcess($Group, ('ServerConfigurator.exe {0}' -f $Arguments))) {
        return ('{0} uses {1} still' -f $Group, (Get-Used -Label (Get-GroupCertificate -Group $Group)))
    }
    $Before = Get-Known -Group $Group
    Add-Before -What $Group -Was $Before
    if (-not (Read-Note)['running services']) {
        Set-Note -What 'running services' -Value (@(Get-RunningService) -join '|')
    }
    $Given = '{0}' -f (Read-Note)[('given {0}' -f $Group)]
    Remove-Note -What ('given {0}' -f $Group)
    # Noted before, so that a run that is killed leaves the registration open, and not forgotten.
    $Open = '{0}' -f (Read-Note)[('unregistered {0}' -f $Group)]
    Set-Note -What ('unregistered {0}' -f $Group) -Value 'begun'
    $Run = Invoke-ServerConfigurator -Arguments $Arguments
    $Ending = '{0}' -f $Endings[$Run.Code]
    if ($Ending -notlike 'not bound*') {
        $Given = $Label
    }
    if ($Given -and $Ending) {
        Set-Note -What ('given {0}' -f $Group) -Value $Given
    }
    if ($Ending -like 'done*') {
        $Open = ''
    }
    elseif ($Ending -notlike 'not bound*') {
        $Open = $Run.Code
    }
    Set-Open -Group $Group -Code $Open
    $Answer = 'Server Configurator answered {0}: {1}' -f $Run.Code, (Get-Meaning -Code $Run.Code -Label $Label)
    $Test = { Test-Uses -Group $Group -Label $Label }
    $Done = & $Test
    if (-not $Done -and $Ending -notlike 'not bound*') {
        $Done = Wait-Until -What ('{0} uses {1}' -f $Group, (Get-Used -Label $Label)) -Test $Test
    }
    $Now = Get-GroupCertificate -Group $Group
    Assert-Running
    if (-not $Done) {
        $Instead = ' still'
        if ($Label) {
            $Instead = ' and not {0}' -f $Label
        }
        throw ('{0} uses {1}{2}. {3}.{4}{5}' -f $Group, (Get-Used -Label $Now), $Instead, $Answer, (Get-Why -What $Group), (Get-Override))
    }
    if ($Ending -notlike 'done*') {
        throw ('{0} uses {1}, but {2}.' -f $Group, (Get-Used -Label $Now), $Answer)
    }
    if ($Now -eq 'unknown') {
        return ('{0} was given {1}, encrypts, and does not say with what; {2}' -f $Group, $Label, $Answer)
    }
    '{0} uses {1} now; {2}' -f $Group, (Get-Used -Label $Now), $Answer
}

# What a group uses before it is switched; of one that does not say it, what this kit gave it. What
# can't be read now may be readable in a while, and is not switched before it is.
function Get-Known {
    param([string]$Group)
    $Read = {
        $null = Get-CertificateInUse
        -not $Unread.ContainsKey($Group)
    }
    if (-not (Wait-Until -What ('{0} can be read' -f $Group) -Test $Read)) {
        throw ('What {0} uses now can not be read: {1}. What to do: let its service start, or restore its file, then run this script again.' -f $Group, $Unread[$Group])
    }
    $Now = Get-GroupCertificate -Group $Group
    $Given = Get-Given -Group $Group -Now $Now
    if ($Given) {
        return $Given
    }
    $Now
}

# Whether a Server Configurator works here: somebody has its window open, or a script that was killed
# left it working. It answers -4 itself then, even where its process can't be seen.
function Test-ConfiguratorRuns {
    try {
        if (@(Get-Process -Name 'ServerConfigurator').Count -gt 0) {
            return $true
        }
    }
    catch {
        $null = 'PowerShell calls it an error that no process has this name'
    }
    if (-not (Find-Configurator)) {
        return $false
    }
    (Invoke-ServerConfigurator -Arguments '/listcertificategroups').Code -eq '-4'
}

# A Server Configurator that works binds a certificate after this script has taken it away.
function Step-NoConfigurator {
    if (Test-ConfiguratorRuns) {
        throw 'A Server Configurator is running on this computer: nothing is changed.'
    }
    'no Server Configurator is running'
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

# The key goes into the key set of the machine, because the store is that of the machine. Without
# -Exportable nobody can take it out again. Where the certificate is here and its key is not, the
# import brings the key again.
function Step-ImportCertificate {
    if (Test-Held -Label $Thumbprint) {
        return ('{0} is in LocalMachine\My already, with its private key' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess('LocalMachine\My', ('Import {0}' -f $PfxFile))) {
        return ('{0} is not in LocalMachine\My yet' -f $Thumbprint)
    }
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $PfxFile
    if (-not (Test-Path -LiteralPath $Path) -or (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash -ne $PfxHash) {
        throw ('{0} is missing beside this script, or has changed since it was made.' -f $PfxFile)
    }
    $Password = Read-Host -Prompt ('Password of {0}' -f $PfxFile) -AsSecureString
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        Add-Before -What ('My {0}' -f $Thumbprint) -Was 'absent'
    }
    Import-FromFile -Path $Path -Password $Password
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('{0} did not bring the certificate {1} with its private key.' -f $PfxFile, $Thumbprint)
    }
    '{0} is in LocalMachine\My now, with its private key' -f $Thumbprint
}

# Imports a PFX file. The command may take square brackets in a path for a pattern: there a copy, as
# encrypted as the file itself, lies for this moment where only administrators look.
function Import-FromFile {
    param([string]$Path, $Password)
    $From = $Path
    if ([System.Management.Automation.WildcardPattern]::ContainsWildcardCharacters($Path)) {
        $From = Join-Path -Path (Get-OwnFolder) -ChildPath 'import.pfx'
        [System.IO.File]::Copy($Path, $From, $true)
    }
    try {
        $null = Import-PfxCertificate -FilePath $From -CertStoreLocation 'Cert:\LocalMachine\My' -Password $Password
    }
    finally {
        if ($From -ne $Path) {
            [System.IO.File]::Delete($From)
        }
    }
}

function Step-NameCertificate {
    if (-not (Test-Held -Label $Thumbprint)) {
        return 'there is no certificate to name yet'
    }
    $Certificate = Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint)
    if ($Certificate.FriendlyName -ne $FriendlyName -and $PSCmdlet.ShouldProcess($Thumbprint, ('Name it {0}' -f $FriendlyName))) {
        $Certificate.FriendlyName = $FriendlyName
    }
    'Server Configurator lists it as {0}' -f $Certificate.FriendlyName
}

# The file of a certificate's private key, or nothing when this computer's own key folders do not
# hold it. Windows has two kinds of keys: CNG keys lie in Keys, CAPI keys in RSA\MachineKeys.
function Get-KeyFile {
    param($Certificate)
    $Key = [System.Security.Cryptography.X509Certificates.RSACertificateExtensions]::GetRSAPrivateKey($Certificate)
    if ($null -eq $Key) {
        return
    }
    if ($Key -is [System.Security.Cryptography.RSACng]) {
        $Name = Split-Path -Path $Key.Key.UniqueName -Leaf
    }
    else {
        $Name = Split-Path -Path $Key.CspKeyContainerInfo.UniqueKeyContainerName -Leaf
    }
    foreach ($Folder in @('Keys', 'RSA\MachineKeys')) {
        $Path = Join-Path -Path $env:ProgramData -ChildPath ('Microsoft\Crypto\{0}\{1}' -f $Folder, $Name)
        if (Test-Path -LiteralPath $Path) {
            return $Path
        }
    }
}

# The SIDs of the entries of a key file that allow to read it, or that deny it.
function Get-KeyEntry {
    param([string]$Path, [string]$Kind)
    $Read = [System.Security.AccessControl.FileSystemRights]::Read
    $Rules = (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    foreach ($Rule in $Rules) {
        $Shared = $Rule.FileSystemRights -band $Read
        $Counts = $Shared -eq $Read -or ($Kind -eq 'Deny' -and [int]$Shared -ne 0)
        if ($Rule.AccessControlType -eq $Kind -and $Counts) {
            $Rule.IdentityReference.Value
        }
    }
}

# The SIDs of everyone who may read a key file. What denies it to everyone, to who is logged on, or
# to services counts for them all.
function Get-KeyReader {
    param([string]$Path)
    $Denied = @(Get-KeyEntry -Path $Path -Kind 'Deny')
    $All = @('S-1-1-0', 'S-1-5-11', 'S-1-5-6') | Where-Object -FilterScript { $Denied -contains $_ }
    if (@($All).Count -eq 0) {
        Get-KeyEntry -Path $Path -Kind 'Allow' | Where-Object -FilterScript { $Denied -notcontains $_ }
    }
}

# The SID of an account. A SID is taken as it is: it means the same in every language of Windows, as
# the names of its own accounts do not.
function Get-Sid {
    param([string]$Account)
    $Known = @{
        'LOCALSYSTEM' = 'S-1-5-18'
        '.\LOCALSYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\SYSTEM' = 'S-1-5-18'
        'NTAUTHORITY\LOCALSERVICE' = 'S-1-5-19'
        'NTAUTHORITY\NETWORKSERVICE' = 'S-1-5-20'
    }
    $Plain = $Account.Replace(' ', '').ToUpperInvariant()
    if ($Known.ContainsKey($Plain)) {
        return $Known[$Plain]
    }
    if ($Account -like 'S-1-*') {
        return $Account
    }
    if ($Account -like '.\*') {
        $Account = '{0}\{1}' -f $env:COMPUTERNAME, $Account.Substring(2)
    }
    try {
        $Name = [System.Security.Principal.NTAccount]::new($Account)
        $Name.Translate([System.Security.Principal.SecurityIdentifier]).Value
    }
    catch {
        throw ('The account {0} is unknown on {1}.' -f $Account, $ComputerName)
    }
}

# The accounts that the named services of this computer run as; a service that is not here has none.
function Get-RunningAccount {
    param([string[]]$Names)
    foreach ($Service in @(Get-CimInstance -ClassName Win32_Service)) {
        if ($Service.StartName -and ($Names -contains $Service.Name -or $Names -contains $Service.DisplayName)) {
            $Service.StartName
        }
    }
}

# Writes the access rules of a file and nothing else. Set-Acl would write its audit rules, too, which
# were not read, so it is the last way. .NET Framework has another method for it than PowerShell 7.
function Write-AccessRule {
    param([string]$Path, $Acl)
    $File = [System.IO.FileInfo]::new($Path)
    try {
        if ($PSVersionTable.PSEdition -eq 'Desktop') {
            $File.SetAccessControl($Acl)
        }
        else {
            [System.IO.FileSystemAclExtensions]::SetAccessControl($File, $Acl)
        }
    }
    catch {
        Set-Acl -LiteralPath $Path -AclObject $Acl
    }
}

# Lets an account read a private key: Read is what TLS needs. What others may do stays as it is.
function Grant-KeyRead {
    param([string]$Path, [string]$Account)
    $Sid = Get-Sid -Account $Account
    if (@(Get-KeyReader -Path $Path) -contains $Sid) {
        return ('{0} may read the private key already' -f $Account)
    }
    if (-not $PSCmdlet.ShouldProcess($Path, ('Let {0} read the private key' -f $Account))) {
        return ('{0} may not read the private key yet' -f $Account)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $Acl.AddAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    if (@(Get-KeyEntry -Path $Path -Kind 'Allow') -notcontains $Sid) {
        Add-Before -What ('Reader {0}' -f $Sid) -Was 'absent'
        Write-AccessRule -Path $Path -Acl $Acl
    }
    if (@(Get-KeyReader -Path $Path) -notcontains $Sid) {
        throw ('{0} still may not read {1}: look for an entry there that denies it.' -f $Account, $Path)
    }
    '{0} may read the private key now' -f $Account
}

# Takes the access away that Grant-KeyRead gave.
function Revoke-KeyRead {
    param([string]$Path, [string]$Sid)
    if (-not $PSCmdlet.ShouldProcess($Path, ('Take read access from {0}' -f $Sid))) {
        return ('{0} may still read the private key' -f $Sid)
    }
    $Identity = [System.Security.Principal.SecurityIdentifier]::new($Sid)
    $Acl = [System.Security.AccessControl.FileSecurity]::new($Path, 'Access')
    $null = $Acl.RemoveAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Identity, 'Read', 'Allow'))
    Write-AccessRule -Path $Path -Acl $Acl
    if (@(Get-KeyEntry -Path $Path -Kind 'Allow') -contains $Sid) {
        throw ('{0} may still read {1}.' -f $Sid, $Path)
    }
    Remove-Before -What ('Reader {0}' -f $Sid)
    '{0} may no longer read the private key' -f $Sid
}

# Each account that a service of this computer really runs as, and each of the site's table. One that
# is unknown here keeps none of the others from its access.
function Step-KeyAccess {
    if (-not (Test-Held -Label $Thumbprint)) {
        return 'there is no private key yet'
    }
    $KeyFile = Get-KeyFile -Certificate (Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))
    if (-not $KeyFile) {
        throw ('The file of the private key of {0} is not in the key folders of this computer.' -f $Thumbprint)
    }
    $Readers = @(@(Get-RunningAccount -Names $Services) + $Accounts | Select-Object -Unique)
    if ($Readers.Count -eq 0) {
        return 'the table names no account, and no service of XProtect is here yet'
    }
    $Failed = @()
    foreach ($Account in $Readers) {
        try {
            Grant-KeyRead -Path $KeyFile -Account $Account
        }
        catch {
            $Failed += $_.Exception.GetBaseException().Message
        }
    }
    if ($Failed.Count -gt 0) {
        throw ($Failed -join ' ')
    }
}

# The turn that was asked for, out of those that this computer has.
function Get-OwnTurn {
    param([string[]]$Turns)
    $Known = @($Turns | Sort-Object -Unique)
    $Wanted = [string][System.Math]::Max(1, $Turn)
    if (($Turn -eq 0 -and $Known.Count -gt 1) -or $Known -notcontains $Wanted) {
        throw ('{0} has these turns: {1}. What to do: write -Turn with the number that the plan names.' -f $ComputerName, ($Known -join ', '))
    }
    $Wanted
}

# Everything is looked at before the first group is switched: certificate, turn, groups, person.
function Step-EnableEncryption {
    Assert-Usable
    $Mine = Get-OwnTurn -Turns $Turns
    $Listed = Get-GroupList
    foreach ($Group in $Groups) {
        $Number = [array]::IndexOf($Groups, $Group)
        if ($Listed -notlike ('*{0}*' -f $GroupIds[$Number])) {
            throw ('Server Configurator does not list the group {0}, which exists since {1}. It lists: {2}' -f $Group, $GroupReleases[$Number], $Listed)
        }
    }
    Assert-Person
    Assert-Running
    foreach ($Group in $Groups) {
        $Number = [array]::IndexOf($Groups, $Group)
        if ($Turns[$Number] -eq $Mine) {
            Set-GroupCertificate -Group $Group -Id $GroupIds[$Number] -Label $Thumbprint
        }
    }
}

# Stops unless this computer holds the certificate with a key that opens, and trusts it itself.
function Assert-Usable {
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        throw ('{0} does not hold the certificate {1} yet. What to do: run install.ps1 without -Phase first.' -f $ComputerName, $Thumbprint)
    }
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('The private key of {0} on {1} is missing or does not open. What to do: run install.ps1 without -Phase, which brings it again; a key that was made here and is gone needs a new request.' -f $Thumbprint, $ComputerName)
    }
    if (-not (Test-Trusted -Label $Thumbprint)) {
        throw ('{0} does not trust the certificate {1} itself. What to do: run install.ps1 without -Phase first; if its CA is among the Untrusted Certificates, ask who barred it.' -f $ComputerName, $Thumbprint)
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

function Step-RemoveSuperseded {
    foreach ($Old in $Superseded) {
        $InStore = 'Cert:\LocalMachine\My\{0}' -f $Old
        if (-not (Test-Path -LiteralPath $InStore)) {
            '{0} is not here' -f $Old
            continue
        }
        $Users = @(Get-UserOf -Label $Old -ByHand @($ByHand.Split(',').Trim()))
        if ($Users.Count -gt 0) {
            throw ('{0} may still be in use: {1}.' -f $Old, ($Users -join '; '))
        }
        if (-not (Test-Held -Label $Thumbprint)) {
            throw ('{0} stays: its successor {1} is not here with its private key. What to do: run install.ps1 without -Phase first.' -f $Old, $Thumbprint)
        }
        if ($PSCmdlet.ShouldProcess($Old, 'Remove it')) {
            Remove-Superseded -InStore $InStore -Label $Old
        }
        else {
            '{0} is still here' -f $Old
        }
    }
}

# Removes a certificate with its private key. On a management server the key stays: a login provider
# may use a certificate by its thumbprint, and nothing on this computer tells of that.
function Remove-Superseded {
    param([string]$InStore, [string]$Label)
    $Opens = Test-KeyOpens -Certificate (Get-Item -LiteralPath $InStore)
    $Keep = Test-Path -LiteralPath (Get-ConfigurationFile).Management
    if ($Opens -and -not $Keep) {
        Remove-Item -LiteralPath $InStore -DeleteKey
    }
    else {
        Remove-Item -LiteralPath $InStore
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\My.' -f $Label)
    }
    if (-not $Opens) {
        return ('{0} is removed; it had no private key that opens' -f $Label)
    }
    if ($Keep) {
        return ('{0} is removed; its private key stays on this computer, in case a login provider uses it' -f $Label)
    }
    '{0} is removed with its private key' -f $Label
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
    Invoke-Step -In 'Check' -Name 'right-windows' -Deed { Step-RightWindows } -Remedy 'Write the release into the column windows of the site''s table, then make a new folder: its PFX file will be encrypted for this Windows.'
    Invoke-Step -In 'Check' -Name 'carried-files' -Deed { Step-CarriedFile } -Remedy 'Copy the whole folder again.'
    Invoke-Step -In 'Check' -Name 'newest-certificate' -Deed { Step-NewestCertificate } -Remedy 'Take the newest folder of this computer: this one is out of date.'
    Invoke-Step -In 'Encrypt|Retire|Off|Remove' -Name 'no-configurator' -Deed { Step-NoConfigurator } -Remedy 'Close its window, or wait until it ends, 20 minutes at most; then start this script again.'
    Invoke-Step -In 'Prepare' -Name 'trust-root' -Deed { Step-TrustRoot } -Remedy 'Look for a policy that forbids new roots, or let Group Policy bring this one.'
    Invoke-Step -In 'Prepare' -Name 'import-certificate' -Deed { Step-ImportCertificate } -Remedy 'Type the password of the PFX file again; it was shown when the certificates were made. If it is lost: vmscert lost pfx-password, at the laptop. If the file is damaged, copy it again.'
    Invoke-Step -In 'Prepare' -Name 'name-certificate' -Deed { Step-NameCertificate } -Remedy 'Give it the name in mmc, Certificates (Local Computer), Properties.'
    Invoke-Step -In 'Prepare|Encrypt' -Name 'key-access' -Deed { Step-KeyAccess } -Remedy 'Compare the account with the column account of the site''s table; a domain account needs the domain to be reached. Or give it Read in "Manage Private Keys", and take away what denies it.'
    Invoke-Step -In 'Encrypt' -Name 'enable-encryption' -Deed { Step-EnableEncryption } -Remedy 'Read the answer of Server Configurator above, and its newest log. Put that right, then run the script again: it goes on where it stopped. The way back is undo.ps1 -Phase Off.'
    Invoke-Step -In 'Retire' -Name 'remove-superseded' -Deed { Step-RemoveSuperseded } -Remedy 'Let what still uses it use the new one first: XProtect by -Phase Encrypt, anything else in its own settings; then run this again. Where an event server does not say what it uses, look in Server Configurator and remove the old one in mmc.'
    if ($Failures.Count -gt 0) {
        throw ('This is left to do. {0}' -f ($Failures -join ' '))
    }
}
finally {
    Invoke-Inventory
}
