# The thumbprints of a store's own certificates, as the registry keeps them. A store that Windows
# shows holds those of other stores too: a user sees the roots of the computer, and among these the
# third-party roots.
function Get-OwnThumbprint {
    param([string]$Store)
    $Key = '{0}\Certificates' -f $Store
    if (Test-Path -LiteralPath $Key) {
        foreach ($Entry in @(Get-ChildItem -LiteralPath $Key)) {
            $Entry.PSChildName
        }
    }
}

# Certificates, as base64 of their DER bytes.
function Get-Encoded {
    param($Certificates)
    foreach ($Certificate in $Certificates) {
        [System.Convert]::ToBase64String($Certificate.RawData)
    }
}

# The roots that lie in the user's own store, also when the computer holds them too.
function Get-UserRoot {
    $Own = @(Get-OwnThumbprint -Store 'HKCU:\Software\Microsoft\SystemCertificates\Root')
    Get-ChildItem -LiteralPath 'Cert:\CurrentUser\Root' | Where-Object -FilterScript { $Own -contains $_.Thumbprint }
}

# The roots of the computer without those that only its store of third-party roots holds.
function Get-ComputerRoot {
    $Own = @(Get-OwnThumbprint -Store 'HKLM:\SOFTWARE\Microsoft\SystemCertificates\ROOT')
    $Others = @(Get-OwnThumbprint -Store 'HKLM:\SOFTWARE\Microsoft\SystemCertificates\AuthRoot')
    $Others = @($Others | Where-Object -FilterScript { $Own -notcontains $_ })
    Get-ChildItem -LiteralPath 'Cert:\LocalMachine\Root' | Where-Object -FilterScript { $Others -notcontains $_.Thumbprint }
}
