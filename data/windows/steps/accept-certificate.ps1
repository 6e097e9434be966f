# inputs: begin
$CertificateFile = ''
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# The private key was made here by request.ps1; Windows finds it by the public key.
function Step-AcceptCertificate {
    if (Test-Held -Label $Thumbprint) {
        return ('{0} is in LocalMachine\My already, with its private key' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess('LocalMachine\My', ('Accept {0}' -f $CertificateFile))) {
        return ('{0} is not in LocalMachine\My yet' -f $Thumbprint)
    }
    Add-Before -What ('My {0}' -f $Thumbprint) -Was 'absent'
    $Answer = @(certreq -accept -q -machine (Join-Path -Path $PSScriptRoot -ChildPath $CertificateFile)) -join ' '
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('Windows did not take {0}: {1}.' -f $CertificateFile, $Answer)
    }
    '{0} is in LocalMachine\My now, with its private key' -f $Thumbprint
}
