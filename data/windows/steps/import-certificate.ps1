# inputs: begin
$PfxFile = ''
$PfxHash = ''
$Thumbprint = ''
# inputs: end
# part: before
# part: held
# The key goes into the key set of the machine, because the store is that of the machine. Without
# -Exportable nobody can take it out again. Where the certificate is here and its key is not, the
# import brings the key again.
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
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Thumbprint))) {
        Add-Before -What ('My {0}' -f $Thumbprint) -Was 'absent'
    }
    Import-FromFile -Path $Path -Password $Password
    if (-not (Test-Held -Label $Thumbprint)) {
        throw ('{0} did not bring the certificate {1} with its private key.' -f $PfxFile, $Thumbprint)
    }
    '{0} is in LocalMachine\My now, with its private key' -f $Thumbprint
}

# Imports a PFX file. The command may take square brackets in a path for a pattern: there a copy, as
# encrypted as the file itself, lies for this moment where only administrators look.
function Import-FromFile {
    param([string]$Path, $Password)
    $From = $Path
    if ([System.Management.Automation.WildcardPattern]::ContainsWildcardCharacters($Path)) {
        $From = Join-Path -Path (Get-OwnFolder) -ChildPath 'import.pfx'
        [System.IO.File]::Copy($Path, $From, $true)
    }
    try {
        $null = Import-PfxCertificate -FilePath $From -CertStoreLocation 'Cert:\LocalMachine\My' -Password $Password
    }
    finally {
        if ($From -ne $Path) {
            [System.IO.File]::Delete($From)
        }
    }
}
