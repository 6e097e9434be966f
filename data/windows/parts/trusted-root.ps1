# A store of the computer, never that of a user.
function Open-Store {
    param([string]$Name, [string]$Access)
    $Place = [System.Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
    $Store = [System.Security.Cryptography.X509Certificates.X509Store]::new($Name, $Place)
    $Store.Open([System.Security.Cryptography.X509Certificates.OpenFlags]$Access)
    $Store
}

function Test-InStore {
    param([string]$Name, [string]$Label)
    $Store = Open-Store -Name $Name -Access 'ReadOnly'
    $Kind = [System.Security.Cryptography.X509Certificates.X509FindType]::FindByThumbprint
    $Found = $Store.Certificates.Find($Kind, $Label, $false).Count
    $Store.Close()
    $Found -gt 0
}

# A root is trusted where it is among the roots, and nobody has barred it.
function Test-Trust {
    param([string]$Label)
    (Test-InStore -Name 'Root' -Label $Label) -and -not (Test-InStore -Name 'Disallowed' -Label $Label)
}
