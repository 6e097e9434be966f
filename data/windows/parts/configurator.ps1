# What the exit codes of Server Configurator mean, as far as anybody has written it down:
# facts: Meanings windows/exit-codes code meaning

# How a run ended by these codes; any other may have left anything behind.
# facts: Endings windows/exit-codes code ends

# Whether this computer holds a certificate with its key, and trusts it itself.
function Test-Trusted {
    param([string]$Label)
    if (-not (Test-Held -Label $Label)) {
        return $false
    }
    $Chain = [System.Security.Cryptography.X509Certificates.X509Chain]::new($true)
    $Chain.ChainPolicy.RevocationMode = 'NoCheck'
    $Chain.Build((Get-Item -LiteralPath ('Cert:\LocalMachine\My\{0}' -f $Label)))
}

# Runs Server Configurator to its end: exit code and text.
function Invoke-ServerConfigurator {
    param([string]$Arguments)
    $Programs = Join-Path -Path $env:ProgramFiles -ChildPath '*\Server Configurator\ServerConfigurator.exe'
    $Program = Get-ChildItem -Path $Programs | Select-Object -First 1
    if (-not $Program) {
        throw 'Server Configurator is not installed here.'
    }
    $Version = [version]('{0}.{1}' -f $Program.VersionInfo.FileMajorPart, $Program.VersionInfo.FileMinorPart)
    if ($Version -lt [version]'20.3') {
        throw ('Server Configurator {0} has no command line: it came with 2020 R3 (20.3).' -f $Version)
    }
    $Start = [System.Diagnostics.ProcessStartInfo]::new($Program.FullName, $Arguments)
    $Start.UseShellExecute = $false
    $Start.RedirectStandardOutput = $true
    $Process = [System.Diagnostics.Process]::Start($Start)
    $Reading = $Process.StandardOutput.ReadToEndAsync()
    $Process.WaitForExit()
    $Text = ''
    if ($Reading.Wait(5000)) {
        $Text = $Reading.Result
    }
    @{
        Code = [string]$Process.ExitCode
        Text = $Text
    }
}

# The certificate groups that this computer has, as Server Configurator lists them.
function Get-GroupList {
    (Invoke-ServerConfigurator -Arguments '/listcertificategroups').Text
}

# What a certificate group uses, in words.
function Get-Used {
    param([string]$Label)
    if ($Label -eq 'unknown') {
        return 'a certificate that it does not name'
    }
    if ($Label) {
        return $Label
    }
    'no certificate'
}

# What a certificate group uses, once it uses what it should, or after two minutes: services that
# restart say nothing for a while.
function Wait-GroupCertificate {
    param([string]$Group, [string]$Label)
    $Until = [System.DateTime]::UtcNow.AddMinutes(2)
    $Now = [string](Get-CertificateInUse)[$Group]
    while ($Now -ne $Label -and [System.DateTime]::UtcNow -lt $Until) {
        [System.Threading.Thread]::Sleep(5000)
        $Now = [string](Get-CertificateInUse)[$Group]
        if ($Label -and $Group -eq 'event server' -and $Now -eq 'unknown') {
            return $Now
        }
    }
    $Now
}

# Lets a certificate group use a certificate, or none when the label is empty, and reads back what
# the servers really use.
function Set-GroupCertificate {
    param([string]$Group, [string]$Id, [string]$Label)
    $Before = [string](Get-CertificateInUse)[$Group]
    if ($Before -eq $Label) {
        return ('{0} uses {1} already' -f $Group, (Get-Used -Label $Label))
    }
    if ($Label -eq 'unknown') {
        throw ('{0} did not say which certificate it used before. Choose it in Server Configurator.' -f $Group)
    }
    $Arguments = '/quiet /enableencryption /certificategroup={0} /thumbprint={1}' -f $Id, $Label
    if (-not $Label) {
        $Arguments = '/quiet /disableencryption /certificategroup={0}' -f $Id
    }
    if (-not $PSCmdlet.ShouldProcess($Group, ('ServerConfigurator.exe {0}' -f $Arguments))) {
        return ('{0} uses {1} still' -f $Group, (Get-Used -Label $Before))
    }
    Add-Before -What $Group -Was $Before
    $Run = Invoke-ServerConfigurator -Arguments $Arguments
    $Meaning = $Meanings[$Run.Code]
    if (-not $Meaning) {
        $Meaning = 'a code that nobody has explained. Read its newest log in %ProgramData%\Milestone\Server Configurator\Logs'
    }
    $Answer = 'Server Configurator answered {0}: {1}' -f $Run.Code, $Meaning
    $Now = Wait-GroupCertificate -Group $Group -Label $Label
    if ($Now -ne $Label -and -not ($Label -and $Group -eq 'event server' -and $Now -eq 'unknown')) {
        throw ('{0} uses {1} and not {2}. {3}.' -f $Group, (Get-Used -Label $Now), (Get-Used -Label $Label), $Answer)
    }
    if ($Endings[$Run.Code] -notlike 'done*') {
        throw ('{0} uses {1}, but {2}.' -f $Group, (Get-Used -Label $Now), $Answer)
    }
    if ($Now -eq 'unknown') {
        return ('{0} was given {1}, encrypts, and does not say with what; {2}' -f $Group, $Label, $Answer)
    }
    '{0} uses {1} now; {2}' -f $Group, (Get-Used -Label $Now), $Answer
}
