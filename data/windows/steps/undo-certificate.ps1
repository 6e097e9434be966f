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
    $InUse = @((Get-HttpCertificate).Values) + @((Get-CertificateInUse).Values)
    if (-not $WhatIfPreference -and ($InUse -contains $Thumbprint -or $InUse -contains 'unknown')) {
        throw ('{0} is still in use, or a service does not say what it uses.' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess($Thumbprint, 'Remove it with its private key')) {
        return ('{0} is still in LocalMachine\My' -f $Thumbprint)
    }
    Remove-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint) -DeleteKey
    Remove-Before -What ('My {0}' -f $Thumbprint)
    '{0} is no longer in LocalMachine\My' -f $Thumbprint
}
