# inputs: begin
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# part: certificate-in-use
function Step-UndoCertificate {
    if ((Get-Before)['My {0}' -f $Thumbprint] -ne 'absent' -or -not (Test-Held -Label $Thumbprint)) {
        return ('{0} stays as it is in LocalMachine\My' -f $Thumbprint)
    }
    if (@((Get-HttpCertificate).Values) + @((Get-CertificateInUse).Values) -contains $Thumbprint) {
        throw ('{0} is still in use.' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess($Thumbprint, 'Remove it with its private key')) {
        return ('{0} is still in LocalMachine\My' -f $Thumbprint)
    }
    Remove-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint) -DeleteKey
    '{0} is no longer in LocalMachine\My' -f $Thumbprint
}
