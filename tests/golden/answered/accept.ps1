<#
.SYNOPSIS
    Joins the certificate that the CA made with the private key that waits on this computer.
.DESCRIPTION
    Only this part of install.ps1, for a computer that trusts the CA already. It ends with an
    inventory: bring it back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File accept.ps1 -WhatIf
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
$Files = @('ca.cer', 'intermediate.cer', 'vms-rec-01.cer', 'inventory.ps1', 'undo.ps1')
$Hashes = @('2068AF11F6FE25594B834BCA5E380A836862825664CA002B5D2D4F20787D3A73', 'BF6894BDE9A8F4C01AD1B81BBFC2C294A404FF396FB8D22517D9F2321A1C16B4', 'D08A1BB5DD3E4D6ED226C50F9778EAF3727607EC2386611F728855AE414C5B9F', 'CAAD3F14C33AD87B89B4C53C18706271B55739E4DD4B2B7586A39A5C95FE4A20', '547B41A848FB5F863B69F68FDE67675DC707BE8BB9288D715BCAE95409089766')
$NotBefore = '2026-03-01T09:00:00+00:00'
$NamePrefix = 'VMS vms-rec-01.example.local until '
$CaFiles = @('ca.cer')
$CaThumbprints = @('B15D863573607CFB38E4CF23DF978278732B1CED')
$IntermediateFiles = @('intermediate.cer')
$IntermediateThumbprints = @('E1CEAE11712BB5053EEF8B75CF2BCF313E232B4C')
$CertificateFile = 'vms-rec-01.cer'
$Thumbprint = '3ED70FB4C4312B542736CE47F1FB61E13F82318A'
$FriendlyName = 'VMS vms-rec-01.example.local until 2036-03-01'
$Accounts = @('EXAMPLE\svc-vms$')
$Services = @('Milestone XProtect Recording Server')
# inputs: end

$Phases = @('Check', 'Prepare')

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

function Step-Intermediate {
    foreach ($File in $IntermediateFiles) {
        Add-ToStore -Store 'CA' -File $File -Label ($IntermediateThumbprints[[array]::IndexOf($IntermediateFiles, $File)])
    }
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

# The private key was made here by request.ps1; Windows finds it by the public key.
function Step-AcceptCertificate {
    if (Test-Held -Label $Thumbprint) {
        return ('{0} is in LocalMachine\My already, with its private key' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess('LocalMachine\My', ('Accept {0}' -f $CertificateFile))) {
        return ('{0} is not in LocalMachine\My yet' -f $Thumbprint)
    }
    Add-Before -What ('My {0}' -f $Thumbprint) -Was 'absent'
    $Answer = @(certreq -accept -q -machine (Join-Path -Path $PSScriptRoot -ChildPath $CertificateFile)) -join ' '
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('Windows did not take {0}: {1}.' -f $CertificateFile, $Answer)
    }
    '{0} is in LocalMachine\My now, with its private key' -f $Thumbprint
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
    Invoke-Step -In 'Check' -Name 'newest-certificate' -Deed { Step-NewestCertificate } -Remedy 'Take the newest folder of this computer: this one is out of date.'
    Invoke-Step -In 'Prepare' -Name 'trust-root' -Deed { Step-TrustRoot } -Remedy 'Look for a policy that forbids new roots, or let Group Policy bring this one.'
    Invoke-Step -In 'Prepare' -Name 'intermediates' -Deed { Step-Intermediate } -Remedy 'Look for a policy that forbids it, or import the files by hand into Intermediate Certification Authorities.'
    Invoke-Step -In 'Prepare' -Name 'accept-certificate' -Deed { Step-AcceptCertificate } -Remedy 'Read the answer of certreq above. Where it finds no request, the key is gone: make a new folder with request.ps1, and have the new request signed.'
    Invoke-Step -In 'Prepare' -Name 'name-certificate' -Deed { Step-NameCertificate } -Remedy 'Give it the name in mmc, Certificates (Local Computer), Properties.'
    Invoke-Step -In 'Prepare|Encrypt' -Name 'key-access' -Deed { Step-KeyAccess } -Remedy 'Compare the account with the column account of the site''s table; a domain account needs the domain to be reached. Or give it Read in "Manage Private Keys", and take away what denies it.'
    if ($Failures.Count -gt 0) {
        throw ('This is left to do. {0}' -f ($Failures -join ' '))
    }
}
finally {
    Invoke-Inventory
}
