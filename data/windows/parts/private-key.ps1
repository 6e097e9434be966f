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
