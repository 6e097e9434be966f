# Whether LocalMachine\My holds a certificate with its private key.
function Test-Held {
    param([string]$Label)
    $InStore = 'Cert:\LocalMachine\My\{0}' -f $Label
    (Test-Path -LiteralPath $InStore) -and (Get-Item -LiteralPath $InStore).HasPrivateKey
}
