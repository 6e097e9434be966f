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
