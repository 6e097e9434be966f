<#
.SYNOPSIS
    Imports the server certificate of this computer with its private key.
.DESCRIPTION
    Puts the PFX file, which lies beside this script, into the store LocalMachine\My. The private
    key can't be exported again, and the service accounts may read it. It asks for the password of
    the file. What is there already stays as it is, so the script can run twice without harm.
    To undo: Remove-Item -LiteralPath Cert:\LocalMachine\My\THUMBPRINT -DeleteKey
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File import.ps1 -WhatIf
    Says what it would do, and changes nothing. Without -WhatIf it does it.
#>
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$ComputerName = 'vms-rec-01'
$PfxFile = '0123456789ABCDEF0123456789ABCDEF01234567.pfx'
$PfxSha256 = '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
$Thumbprint = '0123456789ABCDEF0123456789ABCDEF01234567'
$FriendlyName = 'VMS vms-rec-01.example.local until 2027-12-24'
$Accounts = @('S-1-5-20', 'EXAMPLE\svc-vms$')
# inputs: end

# A file that was carried here beside this script, unchanged since it was issued.
function Get-CarriedFile {
    param([string]$Name, [string]$Hash)
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $Name
    if (-not (Test-Path -LiteralPath $Path)) {
        throw ('{0} is missing beside this script. Copy the whole folder again.' -f $Name)
    }
    $Found = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash
    if ($Found -ne $Hash) {
        throw ('{0} has changed since it was issued: its SHA-256 is {1}. Copy the whole folder again.' -f $Name, $Found)
    }
    $Path
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

# The SID of an account. A SID is taken as it is: it means the same in every language of Windows.
function Get-Sid {
    param([string]$Account)
    if ($Account -like 'S-1-*') {
        return $Account
    }
    try {
        $Name = [System.Security.Principal.NTAccount]::new($Account)
        $Name.Translate([System.Security.Principal.SecurityIdentifier]).Value
    }
    catch {
        throw ('The account {0} is unknown on {1}. Correct it in the table of the site.' -f $Account, $ComputerName)
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
$File = Get-CarriedFile -Name $PfxFile -Hash $PfxSha256
$Sids = @{}
foreach ($Account in $Accounts) {
    $Sids[$Account] = Get-Sid -Account $Account
}

# Act: the certificate and its private key.
$InStore = 'Cert:\LocalMachine\My\{0}' -f $Thumbprint
if ((Test-Path -LiteralPath $InStore) -and (Get-Item -LiteralPath $InStore).HasPrivateKey) {
    Write-Output ('{0} has the certificate {1} already.' -f $ComputerName, $Thumbprint)
}
elseif ($PSCmdlet.ShouldProcess('Cert:\LocalMachine\My', ('Import {0}' -f $PfxFile))) {
    $Password = Read-Host -Prompt ('Password of {0}' -f $PfxFile) -AsSecureString
    $null = Import-PfxCertificate -FilePath $File -CertStoreLocation 'Cert:\LocalMachine\My' -Password $Password
}
else {
    return
}
if (-not (Test-Path -LiteralPath $InStore)) {
    throw ('{0} does not hold the certificate {1}. Ask for a new folder.' -f $PfxFile, $Thumbprint)
}
$Certificate = Get-Item -LiteralPath $InStore
if (-not $Certificate.HasPrivateKey) {
    throw ('The certificate {0} has no private key here. Import the PFX file, not the .cer file.' -f $Thumbprint)
}

# Act: the name that Server Configurator shows.
if ($Certificate.FriendlyName -ne $FriendlyName -and $PSCmdlet.ShouldProcess($Thumbprint, ('Name it {0}' -f $FriendlyName))) {
    $Certificate.FriendlyName = $FriendlyName
}

# Act: the service accounts may read the key.
$KeyFile = Get-KeyFile -Certificate $Certificate
if (-not $KeyFile) {
    throw ('The file of the private key of {0} was not found. Import the PFX file for the local machine.' -f $Thumbprint)
}
foreach ($Account in $Accounts) {
    if (@(Get-KeyReader -Path $KeyFile) -contains $Sids[$Account]) {
        Write-Output ('{0} may read the private key already.' -f $Account)
    }
    elseif ($PSCmdlet.ShouldProcess($KeyFile, ('Let {0} read the private key' -f $Account))) {
        $Sid = [System.Security.Principal.SecurityIdentifier]::new($Sids[$Account])
        $Acl = Get-Acl -LiteralPath $KeyFile
        $Acl.AddAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($Sid, 'Read', 'Allow'))
        Set-Acl -LiteralPath $KeyFile -AclObject $Acl
    }
    else {
        return
    }
}

# Verify.
foreach ($Account in $Accounts) {
    if (@(Get-KeyReader -Path $KeyFile) -notcontains $Sids[$Account]) {
        throw ('{0} still may not read {1}. Give it Read in "Manage Private Keys".' -f $Account, $KeyFile)
    }
}
Write-Output ('{0} holds {1} ({2}), readable for: {3}.' -f $ComputerName, $FriendlyName, $Thumbprint, ($Accounts -join ', '))
