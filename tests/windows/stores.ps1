# Stands in for the stores and the registry of a Windows computer, then runs a script unchanged.
# Each store is a folder with a file for each certificate: Root shows AuthRoot and GroupPolicy, too,
# as Windows does. What is done is noted in deeds.txt.
param([string]$State, [string]$Script, [string]$Mode, [string[]]$Given = @())

class StandInIdentity {
    static [object] GetCurrent() { return [StandInIdentity]::new() }
}

class StandInPrincipal {
    StandInPrincipal([object]$Identity) {}
    [bool] IsInRole([object]$Role) { return -not (Test-Path "$env:STAND_IN_STATE/no-rights") }
}

class StandInStore {
    [string]$Name
    [System.Security.Cryptography.X509Certificates.X509Certificate2Collection]$Certificates
    StandInStore([string]$Name, [System.Security.Cryptography.X509Certificates.StoreLocation]$Place) {
        if ($Place -ne 'LocalMachine') { throw 'the store of a user' }
        $this.Name = $Name
    }
    [string[]] Folders() {
        if ($this.Name -eq 'Root') { return @('Root', 'AuthRoot', 'GroupPolicy') }
        return @($this.Name)
    }
    [void] Open([System.Security.Cryptography.X509Certificates.OpenFlags]$Access) {
        $this.Certificates = [System.Security.Cryptography.X509Certificates.X509Certificate2Collection]::new()
        foreach ($Folder in $this.Folders()) {
            foreach ($File in Get-ChildItem "$env:STAND_IN_STATE/$Folder" -File -ErrorAction Ignore) {
                $Bytes = [System.IO.File]::ReadAllBytes($File.FullName)
                $this.Certificates.Add([System.Security.Cryptography.X509Certificates.X509Certificate2]::new($Bytes))
            }
        }
    }
    [void] Note([string]$Deed) {
        # No cmdlet that asks under -Confirm: only the script is to ask.
        [System.IO.File]::AppendAllText("$env:STAND_IN_STATE/deeds.txt", "$Deed`n")
    }
    [void] Add([System.Security.Cryptography.X509Certificates.X509Certificate2]$One) {
        $this.Note("Add $($this.Name)")
        if (Test-Path "$env:STAND_IN_STATE/forgets") { return }
        [System.IO.Directory]::CreateDirectory("$env:STAND_IN_STATE/$($this.Name)")
        [System.IO.File]::WriteAllBytes("$env:STAND_IN_STATE/$($this.Name)/$($One.Thumbprint)", $One.RawData)
    }
    [void] Remove([System.Security.Cryptography.X509Certificates.X509Certificate2]$One) {
        $this.Note("Remove $($this.Name)")
        foreach ($Folder in $this.Folders()) {
            $File = "$env:STAND_IN_STATE/$Folder/$($One.Thumbprint)"
            if (Test-Path $File) {
                if ($Folder -eq 'GroupPolicy') { throw 'Access is denied.' }
                [System.IO.File]::Delete($File)
                return
            }
        }
    }
    [void] Close() {}
}

function Test-Path {
    param([Parameter(Position = 0)][string]$LiteralPath)
    if ($LiteralPath -like 'Registry::*\Policies\*') {
        $LiteralPath = '{0}/GroupPolicy/{1}' -f $env:STAND_IN_STATE, ($LiteralPath -split '\\')[-1]
    }
    Microsoft.PowerShell.Management\Test-Path -LiteralPath $LiteralPath
}

$env:STAND_IN_STATE = $State
$env:COMPUTERNAME = 'PC-01'
$Accelerators = [psobject].Assembly.GetType('System.Management.Automation.TypeAccelerators')
$Accelerators::Add('System.Security.Principal.WindowsIdentity', [StandInIdentity])
$Accelerators::Add('System.Security.Principal.WindowsPrincipal', [StandInPrincipal])
$Accelerators::Add('System.Security.Cryptography.X509Certificates.X509Store', [StandInStore])
$Switches = @{}
foreach ($Name in $Given | Where-Object { $_ -like '-*' }) { $Switches[$Name.TrimStart('-')] = $true }
$Words = @($Given | Where-Object { $_ -notlike '-*' })
if ($Mode) { $ExecutionContext.SessionState.LanguageMode = $Mode }
& $Script @Words @Switches
exit $LASTEXITCODE
