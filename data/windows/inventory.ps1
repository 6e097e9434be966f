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
$ComputerName = ''
# inputs: end

# part: private-key

# part: certificate-in-use

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

# part: checks

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
