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
