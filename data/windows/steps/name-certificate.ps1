# inputs: begin
$Thumbprint = ''
$FriendlyName = ''
# inputs: end
# part: held
function Step-NameCertificate {
    if (-not (Test-Held -Label $Thumbprint)) {
        return 'there is no certificate to name yet'
    }
    $Certificate = Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint)
    if ($Certificate.FriendlyName -ne $FriendlyName -and $PSCmdlet.ShouldProcess($Thumbprint, ('Name it {0}' -f $FriendlyName))) {
        $Certificate.FriendlyName = $FriendlyName
    }
    'Server Configurator lists it as {0}' -f $Certificate.FriendlyName
}
