# Puts a carried certificate into a store of the computer, never into that of a user.
function Add-ToStore {
    param([string]$Store, [string]$File, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    if (Test-Path -LiteralPath $InStore) {
        return ('{0} is in LocalMachine\{1} already' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Add {0}' -f $File))) {
        return ('{0} is not in LocalMachine\{1} yet' -f $Label, $Store)
    }
    Add-Before -What ('{0} {1}' -f $Store, $Label) -Was 'absent'
    $Certificate = [System.Security.Cryptography.X509Certificates.X509Certificate2]::new((Join-Path -Path $PSScriptRoot -ChildPath $File))
    $Opened = [System.Security.Cryptography.X509Certificates.X509Store]::new($Store, 'LocalMachine')
    $Opened.Open('ReadWrite')
    $Opened.Add($Certificate)
    $Opened.Close()
    if (-not (Test-Path -LiteralPath $InStore)) {
        throw ('Windows did not keep {0} in LocalMachine\{1}.' -f $File, $Store)
    }
    '{0} is in LocalMachine\{1} now' -f $Label, $Store
}

# Takes a certificate out of a store of the computer. LocalMachine\Root shows third-party roots, too,
# so what lies in both is there again after the first time; what a policy brings stays.
function Remove-Shown {
    param([string]$Store, [string]$Label)
    $InStore = 'Cert:\LocalMachine\{0}\{1}' -f $Store, $Label
    foreach ($Time in @(1, 2)) {
        if (Test-Path -LiteralPath $InStore) {
            Remove-Item -LiteralPath $InStore
        }
    }
    if (Test-Path -LiteralPath $InStore) {
        throw ('Windows still shows {0} in LocalMachine\{1}: something else brings it.' -f $Label, $Store)
    }
}

# Takes a certificate out of a store of the computer again, if install.ps1 had put it there.
function Remove-FromStore {
    param([string]$Store, [string]$Label)
    $What = '{0} {1}' -f $Store, $Label
    if ((Get-Before)[$What] -ne 'absent') {
        return ('{0} stays as it is in LocalMachine\{1}' -f $Label, $Store)
    }
    if (-not $PSCmdlet.ShouldProcess(('LocalMachine\{0}' -f $Store), ('Remove {0}' -f $Label))) {
        return ('{0} is still in LocalMachine\{1}' -f $Label, $Store)
    }
    Remove-Shown -Store $Store -Label $Label
    Remove-Before -What $What
    '{0} is no longer in LocalMachine\{1}' -f $Label, $Store
}
