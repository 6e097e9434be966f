# part: in-use

# The certificates that may be in use here and are one of those carried, or are issued below one.
# Where something does not say what it uses, it may be any certificate with a private key.
function Get-UsedBelow {
    param([string[]]$Carried, [string[]]$Labels, [string[]]$ByHand = @())
    $Uses = Get-Use
    $InUse = @($Uses.Keys | Where-Object -FilterScript { $ByHand -notcontains $_ -or $Uses[$_] -ne 'unknown' } | ForEach-Object -Process { $Uses[$_] })
    foreach ($Certificate in @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My')) {
        $Unsaid = $InUse -contains 'unknown' -and $Certificate.HasPrivateKey
        if ($InUse -contains $Certificate.Thumbprint -or $Unsaid) {
            $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
            $Chain.ChainPolicy.RevocationMode = 'NoCheck'
            foreach ($File in $Carried) {
                $One = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Join-Path -Path $PSScriptRoot -ChildPath $File))
                $null = $Chain.ChainPolicy.ExtraStore.Add($One)
            }
            $null = $Chain.Build($Certificate)
            foreach ($Element in $Chain.ChainElements) {
                if ($Labels -contains $Element.Certificate.Thumbprint) {
                    $Certificate.Thumbprint
                }
            }
        }
    }
}
