<#
.SYNOPSIS
    Lets Windows run one program every day.
.DESCRIPTION
    Registers a task for the person who runs this script. What the program prints is not kept; the
    last result of the task is 1 when somebody has to act. Run it again to change the task.
#>
#Requires -Version 5.1
[CmdletBinding(SupportsShouldProcess)]
param()

# inputs: begin
$TaskName = ''
$Program = ''
$Arguments = ''
$Time = ''
# inputs: end

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$Me = [System.Security.Principal.WindowsPrincipal]::new([System.Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $Me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'administrator rights are missing. Run the script as administrator.'
}
if ($PSCmdlet.ShouldProcess($TaskName, 'Register')) {
    $Action = New-ScheduledTaskAction -Execute $Program -Argument $Arguments
    $Trigger = New-ScheduledTaskTrigger -Daily -At $Time
    [void](Register-ScheduledTask -TaskName $TaskName -Action $Action -Trigger $Trigger -Force)
}
