# inputs: begin
$PfxFile = ''
$PfxHash = ''
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# The key goes into the key set of the machine, because the store is that of the machine. Without
# -Exportable nobody can take it out again.
function Step-ImportCertificate {
    if (Test-Held -Label $Thumbprint) {
        return ('{0} is in LocalMachine\My already, with its private key' -f $Thumbprint)
    }
    if (-not $PSCmdlet.ShouldProcess('LocalMachine\My', ('Import {0}' -f $PfxFile))) {
        return ('{0} is not in LocalMachine\My yet' -f $Thumbprint)
    }
    $Path = Join-Path -Path $PSScriptRoot -ChildPath $PfxFile
    if (-not (Test-Path -LiteralPath $Path) -or (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash -ne $PfxHash) {
        throw ('{0} is missing beside this script, or has changed since it was made.' -f $PfxFile)
    }
    $Password = Read-Host -Prompt ('Password of {0}' -f $PfxFile) -AsSecureString
    Add-Before -What ('My {0}' -f $Thumbprint) -Was 'absent'
    $null = Import-PfxCertificate -FilePath $Path -CertStoreLocation 'Cert:\LocalMachine\My' -Password $Password
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('{0} did not bring the certificate {1} with its private key.' -f $PfxFile, $Thumbprint)
    }
    '{0} is in LocalMachine\My now, with its private key' -f $Thumbprint
}
