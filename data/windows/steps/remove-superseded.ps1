# inputs: begin
$Thumbprint = ''
$Superseded = @()
# inputs: end
# part: held
# part: certificate-in-use
function Step-RemoveSuperseded {
    $InUse = @((Get-HttpCertificate).Values) + @((Get-CertificateInUse).Values)
    foreach ($Old in $Superseded) {
        $InStore = 'Cert:\LocalMachine\My\{0}' -f $Old
        if (-not (Test-Path -LiteralPath $InStore)) {
            '{0} is not here' -f $Old
            continue
        }
        if ($InUse -contains $Old -or $InUse -contains 'unknown' -or -not (Test-Held -Label $Thumbprint)) {
            throw ('{0} may still be in use, or its successor {1} is not here.' -f $Old, $Thumbprint)
        }
        if ($PSCmdlet.ShouldProcess($Old, 'Remove it with its private key')) {
            Remove-Item -LiteralPath $InStore -DeleteKey
            '{0} is removed' -f $Old
        }
    }
}
