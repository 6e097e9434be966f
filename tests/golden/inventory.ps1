<#
.SYNOPSIS
    Writes down which certificates this computer holds, trusts and uses.
.DESCRIPTION
    Reads the certificate stores, who may read the private keys (never the keys themselves), and
    the certificates in use. It changes nothing, and writes one file beside itself: the name of the
    computer and .json. Bring that file back.
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File inventory.ps1
#>
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$ComputerName = 'vms-rec-01'
# inputs: end

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

# The SIDs of everyone who may read a key file.
function Get-KeyReader {
    param([string]$Path)
    $Read = [System.Security.AccessControl.FileSystemRights]::Read
    $Rules = (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier])
    foreach ($Rule in $Rules) {
        if ($Rule.AccessControlType -eq 'Allow' -and ($Rule.FileSystemRights -band $Read) -eq $Read) {
            $Rule.IdentityReference.Value
        }
    }
}

# The certificates that Windows itself serves HTTPS with: port -> thumbprint. Address and hash are
# found by their form, because the labels beside them are in the language of this Windows.
function Get-HttpCertificate {
    $Thumbprints = @{}
    $Port = ''
    foreach ($Line in @(netsh http show sslcert)) {
        if ($Line -match '\s\S+:(\d{1,5})\s*$') {
            $Port = $Matches[1]
        }
        elseif ($Line -match '\b[0-9A-Fa-f]{40}\b') {
            $Thumbprints[$Port] = $Matches[0].ToUpperInvariant()
        }
    }
    $Thumbprints
}

# What an XProtect server wrote into its configuration file, or nothing.
function Get-Setting {
    param([string]$File, [string]$XPath)
    $Path = Join-Path -Path $env:ProgramData -ChildPath $File
    if (Test-Path -LiteralPath $Path) {
        foreach ($Found in @(Select-Xml -LiteralPath $Path -XPath $XPath)) {
            $Found.Node.InnerText
        }
    }
}

# The certificates that the XProtect services really use: certificate group -> thumbprint.
function Get-CertificateInUse {
    $Http = Get-HttpCertificate
    $InUse = @{}
    foreach ($Port in @('9001', '9000')) {
        if ($Http.ContainsKey($Port)) {
            $InUse['server'] = $Http[$Port]
        }
    }
    if ($Http.ContainsKey('8082')) {
        $InUse['mobile streaming media'] = $Http['8082']
    }
    $MediaFile = 'Milestone\XProtect Recording Server\RecorderConfig.xml'
    $Media = Get-Setting -File $MediaFile -XPath '/recorderconfig/webserver/encryption/@certificateHash'
    if ($Media -match '^[0-9A-Fa-f]{40}$') {
        $InUse['streaming media'] = ([string]$Media).ToUpperInvariant()
    }
    $EventsFile = 'Milestone\XProtect Event Server\config\ServiceEndpoints.xml'
    $Events = Get-Setting -File $EventsFile -XPath '//*[local-name()="CertificateEnabled"]'
    if ($Events -eq 'true' -and $Http.ContainsKey('22331')) {
        $InUse['event server'] = $Http['22331']
    }
    $InUse
}

# A well-known SID stays a SID, which means the same in every language; other accounts get a name.
function Get-AccountName {
    param([string]$Sid)
    if ($Sid -notlike 'S-1-5-21-*') {
        return $Sid
    }
    try {
        [System.Security.Principal.SecurityIdentifier]::new($Sid).Translate([System.Security.Principal.NTAccount]).Value
    }
    catch {
        $Sid
    }
}

# The accounts that may read the private key of a certificate.
function Get-Reader {
    param($Certificate)
    try {
        $KeyFile = Get-KeyFile -Certificate $Certificate
        if ($KeyFile) {
            foreach ($Sid in @(Get-KeyReader -Path $KeyFile)) {
                Get-AccountName -Sid $Sid
            }
        }
    }
    catch {
        Write-Warning ('The private key of {0} could not be read: {1}' -f $Certificate.Subject, $_.Exception.Message)
    }
}

# The certificates of a store, as base64 of their DER bytes.
function Get-Trusted {
    param([string]$Store)
    foreach ($Certificate in @(Get-ChildItem -LiteralPath $Store)) {
        [System.Convert]::ToBase64String($Certificate.RawData)
    }
}

# The certificates of a store, with what is known of their private keys.
function Get-Personal {
    param([string]$Store)
    foreach ($Certificate in @(Get-ChildItem -LiteralPath $Store)) {
        $Readers = @()
        if ($Certificate.HasPrivateKey) {
            $Readers = @(Get-Reader -Certificate $Certificate)
        }
        [ordered]@{
            certificate = [System.Convert]::ToBase64String($Certificate.RawData)
            has_key = $Certificate.HasPrivateKey
            readers = $Readers
        }
    }
}

# Checks: administrator, right computer.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Me = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Administrator rights are missing. Open PowerShell with "Run as administrator" and start this script again.'
}
$ThisComputer = @($env:COMPUTERNAME, [System.Net.Dns]::GetHostName())
if ($ThisComputer -notcontains $ComputerName.Split('.')[0]) {
    throw ('This script is for {0}, but this computer is {1}. Carry it to {0}.' -f $ComputerName, $env:COMPUTERNAME)
}

# Read. The view of a user's roots shows those of the computer too: only the rest are the user's.
$System = Get-CimInstance -ClassName Win32_OperatingSystem
$Root = @(Get-Trusted -Store 'Cert:\LocalMachine\Root')
$UserRoot = @(Get-Trusted -Store 'Cert:\CurrentUser\Root' | Where-Object -FilterScript { $Root -notcontains $_ })
$Inventory = [ordered]@{
    vmscert_inventory = 1
    host = $ComputerName
    at = [System.DateTime]::UtcNow.ToString('s') + 'Z'
    windows = '{0}, build {1}' -f $System.Caption.Trim(), $System.BuildNumber
    root = $Root
    user_root = $UserRoot
    personal = @(Get-Personal -Store 'Cert:\LocalMachine\My')
    user_personal = @(Get-Personal -Store 'Cert:\CurrentUser\My')
    bindings = Get-CertificateInUse
}

# Write.
$File = Join-Path -Path $PSScriptRoot -ChildPath ('{0}.json' -f $ComputerName)
if ($PSCmdlet.ShouldProcess($File, 'Write the inventory')) {
    [System.IO.File]::WriteAllText($File, (ConvertTo-Json -InputObject $Inventory -Depth 4))
    Write-Output ('{0} is written. Bring it back.' -f $File)
}
